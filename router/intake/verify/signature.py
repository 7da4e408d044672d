"""What the schemes that compare an HMAC share."""

import hashlib
import hmac
from collections.abc import Sequence

from router.errors import Level
from router.model import Headers, Inbound
from router.plugins import Build, Fault, Refused
from router.secrets import Secret, SecretRef


def digest(secret: Secret, algorithm: str, message: bytes) -> bytes:
    """The HMAC of a message."""
    return hmac.new(secret.reveal().encode(), message, getattr(hashlib, algorithm)).digest()


def signed_by_any(secrets: Sequence[Secret], algorithm: str, message: bytes, given: bytes) -> bool:
    """Whether one of the secrets made the signature; every one is tried, each in constant time."""
    good = False
    for secret in secrets:
        if secret.is_set:
            good |= hmac.compare_digest(digest(secret, algorithm, message), given)
    return good


def resolve(refs: Sequence[SecretRef], build: Build) -> tuple[Secret, ...]:
    """Resolve a rotation list; it needs one that is present, since optional ones may be missing."""
    found = tuple(build.secret(ref, "secret", i) for i, ref in enumerate(refs))
    if not any(secret.is_set for secret in found) and all(ref.optional for ref in refs):
        level = Level.ERROR if build.require_secrets else Level.NOTE
        build.faults.append(Fault(("secret",), "none of the optional secrets is set; one has to be", level))
    return found


def one_header(inbound: Inbound, name: str) -> str | Refused:
    """The only value of a header; missing, empty, repeated or not ASCII is a refusal."""
    values = Headers(inbound.headers).all(name)
    if not values:
        return Refused(f"header {name} is missing")
    if len(values) > 1:
        return Refused(f"header {name} was sent more than once")
    if not values[0]:
        return Refused(f"header {name} is empty")
    if not values[0].isascii():
        return Refused(f"header {name} is not ASCII")
    return values[0]
