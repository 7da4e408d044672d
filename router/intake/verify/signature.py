"""What signature schemes share. Signatures are compared as text, in their one canonical form.

Decoding them first would accept many texts for one signature: capital hex digits, blanks, unused bits of base64.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from typing import Literal

from router.domain.errors import Level
from router.domain.secrets import Secret, SecretRef
from router.plugins.build import Build, Fault
from router.plugins.scheme import Unverified, VerifyFailure

Encoding = Literal["hex", "base64"]
KeyFormat = Literal["text", "hex", "base64"]
ONLY_PUBLIC = "only the sender has the key that signs; the key here is its public half, which can only verify"
WRONG_SIGNATURE = Unverified(VerifyFailure.MISMATCH, "the signature does not match the request with any of the secrets")


def key_bytes(secrets: Sequence[Secret]) -> tuple[bytes, ...]:
    """The bytes of the secrets that are set."""
    return tuple(secret.reveal_bytes() for secret in secrets if secret.is_set)


def decoded_keys(secrets: Sequence[Secret], key_format: KeyFormat, build: Build) -> tuple[bytes, ...]:
    """The keys in these secrets, decoded by the format. A secret in another format is a fault."""
    if key_format == "text":
        return key_bytes(secrets)
    keys: list[bytes] = []
    for i, secret in enumerate(secrets):
        if secret.is_set:
            key = _hex_bytes(secret.reveal()) if key_format == "hex" else strict_base64(secret.reveal())
            if key:
                keys.append(key)
            else:
                build.fault(f"{secret.name} is not {key_format}; copy it as the sender shows it", "secret", i)
    return tuple(keys)


def _hex_bytes(text: str) -> bytes | None:
    return bytes.fromhex(text) if re.fullmatch(r"([0-9A-Fa-f]{2})+", text) else None


def encoded(digest: bytes, encoding: Encoding) -> str:
    """A digest as senders write it."""
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def signed_by_any(
    keys: Sequence[bytes], algorithm: str, message: bytes, given: str, encoding: Encoding = "hex"
) -> bool:
    """Whether one of the keys made the signature (RFC 2104). Every key is tried, each in constant time."""
    good, text = False, given.encode()
    for key in keys:
        good |= hmac.compare_digest(encoded(hmac.digest(key, message, algorithm), encoding).encode(), text)
    return good


def resolve(refs: Sequence[SecretRef], build: Build) -> tuple[Secret, ...]:
    """Resolve a rotation list. Optional secrets may be missing, but at least one must be set."""
    found = tuple(build.secret(ref, "secret", i) for i, ref in enumerate(refs))
    if not any(secret.is_set for secret in found) and all(ref.optional for ref in refs):
        level = Level.ERROR if build.require_secrets else Level.NOTE
        build.faults.append(Fault(("secret",), "none of the optional secrets is set; one has to be", level))
    return found


def strict_base64(text: str) -> bytes | None:
    """Decode canonical base64; None for any other text."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None
