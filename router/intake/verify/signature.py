"""What signature schemes share. Signatures are compared as text, in their one canonical form.

Decoding them first would accept many texts for one signature: capital hex digits, blanks, unused bits of base64.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from router.domain.credentials import without_credentials
from router.domain.errors import Level
from router.domain.request import Inbound
from router.domain.secrets import Secret, SecretRef
from router.intake.verify.credentials import NO_SECRET
from router.intake.verify.headers import one_header
from router.plugins.build import Build, Fault
from router.plugins.scheme import Signed, SignedParts, Unsignable, Unverified, Verified, VerifyFailure

Encoding = Literal["hex", "base64"]
TOLERANCE_SECONDS = 300.0  #: how far a signed time may be off, both ways: what Stripe, Slack and Svix recommend
WRONG_SIGNATURE = Unverified(VerifyFailure.MISMATCH, "the signature does not fit the request and any secret")

_TIMESTAMP = re.compile(r"[0-9]{1,15}")
_MILLISECONDS_FROM = 10**11  #: a timestamp this large counts milliseconds: in seconds it would be the year 5138


def key_bytes(secrets: Sequence[Secret]) -> tuple[bytes, ...]:
    """The bytes of the secrets that are set."""
    return tuple(secret.reveal_bytes() for secret in secrets if secret.is_set)


def encoded(digest: bytes, encoding: Encoding) -> str:
    """A digest as senders write it."""
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def signed_by_any(
    keys: Sequence[bytes], algorithm: str, message: bytes, given: str, encoding: Encoding = "hex"
) -> bool:
    """Whether one of the keys made the signature (RFC 2104); every one is tried, each in constant time."""
    good, text = False, given.encode()
    for key in keys:
        good |= hmac.compare_digest(encoded(hmac.digest(key, message, algorithm), encoding).encode(), text)
    return good


def resolve(refs: Sequence[SecretRef], build: Build) -> tuple[Secret, ...]:
    """Resolve a rotation list. Optional secrets may be missing, but at least one has to be set."""
    found = tuple(build.secret(ref, "secret", i) for i, ref in enumerate(refs))
    if not any(secret.is_set for secret in found) and all(ref.optional for ref in refs):
        level = Level.ERROR if build.require_secrets else Level.NOTE
        build.faults.append(Fault(("secret",), "none of the optional secrets is set; one has to be", level))
    return found


def check_time(text: str, name: str, tolerance: float, now: int) -> Unverified | None:
    """Refuse a signed time that is not a Unix time (s or ms), or is further from now (ms) than the tolerance (s)."""
    if not _TIMESTAMP.fullmatch(text):
        return Unverified(VerifyFailure.MALFORMED, f"{name} is no Unix time")
    sent = int(text) if int(text) >= _MILLISECONDS_FROM else int(text) * 1000
    if abs(now - sent) > tolerance * 1000:
        return Unverified(
            VerifyFailure.TIME, "the timestamp is too far from now; is a clock wrong, or is this a replay?"
        )
    return None


def strict_base64(text: str) -> bytes | None:
    """Decode canonical base64; None for any other text."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """Verifies a header that carries an HMAC of the body, and perhaps of a time that another header carries."""

    keys: tuple[bytes, ...]
    header: str
    algorithm: str = "sha256"
    prefix: str = ""
    encoding: Encoding = "hex"
    timestamp_header: str | None = None
    tolerance: float = TOLERANCE_SECONDS
    message: tuple[bytes, ...] = (b"{body}",)  #: parts of what is signed; {timestamp} and {body} are filled in
    verifies: bool = True

    @property
    def signed_parts(self) -> SignedParts:
        """See Verifier.signed_parts."""
        return SignedParts(frozenset({self.timestamp_header.lower()} if self.timestamp_header else ()))

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        given = one_header(inbound, self.header)
        if isinstance(given, Unverified):
            return given
        if not given.startswith(self.prefix):
            return Unverified(VerifyFailure.MALFORMED, f"header {self.header} does not begin with the prefix")
        timestamp = ""
        if self.timestamp_header is not None:
            found = one_header(inbound, self.timestamp_header)
            if isinstance(found, Unverified):
                return found
            refused = check_time(found, f"header {self.timestamp_header}", self.tolerance, now)
            if refused is not None:
                return refused
            timestamp = found
        message = self._filled(inbound, timestamp)
        if not signed_by_any(self.keys, self.algorithm, message, given.removeprefix(self.prefix), self.encoding):
            return WRONG_SIGNATURE
        return Verified(without_credentials(inbound))

    def sign(self, inbound: Inbound, now: int) -> Signed | Unsignable:
        """See Verifier.sign."""
        if not self.keys:
            return NO_SECRET
        timestamp = str(now // 1000)
        digest = hmac.digest(self.keys[0], self._filled(inbound, timestamp), self.algorithm)
        signature = (self.header, self.prefix + encoded(digest, self.encoding))
        return Signed(
            (signature,) if self.timestamp_header is None else ((self.timestamp_header, timestamp), signature)
        )

    def _filled(self, inbound: Inbound, timestamp: str) -> bytes:
        filled = {b"{timestamp}": timestamp.encode(), b"{body}": inbound.body}
        return b"".join(filled.get(part, part) for part in self.message)
