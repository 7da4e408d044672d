"""The signature of a forward: Standard Webhooks (standardwebhooks.com), "Signature scheme"."""

import base64
import binascii
import hashlib
import hmac

from router.domain.errors import RenderError
from router.domain.secrets import Secret

HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
KEY_BYTES = 16  #: shorter keys can be guessed; the specification recommends 24


def signing_key(secret: Secret) -> bytes | None:
    """The key in a secret's text; None when the text is not base64 or the key is too short."""
    try:
        key = base64.b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) >= KEY_BYTES else None


def signature(secret: Secret, event_id: str, now: int, body: bytes) -> str:
    """`v1,<base64>` of HMAC-SHA256 over id.timestamp.body; `now` in seconds. Raises RenderError without a key."""
    key = signing_key(secret) if secret.is_set else None
    if key is None:
        raise RenderError("the signing key is not set")
    signed = hmac.new(key, f"{event_id}.{now}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
