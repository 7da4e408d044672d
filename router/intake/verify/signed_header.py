"""A header with a signature and perhaps the signed time: how it is read, and HMAC over the signed text."""

import hmac
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from router.domain.credentials import without_credentials
from router.domain.request import Inbound
from router.intake.verify.credentials import NO_SECRET
from router.intake.verify.headers import one_header
from router.intake.verify.message import Message
from router.intake.verify.signature import WRONG_SIGNATURE, Encoding, encoded, signed_by_any
from router.intake.verify.times import TOLERANCE_SECONDS, TimestampFormat, check_time, written_time
from router.plugins.scheme import SenderProof, SignedParts, Unsignable, Unverified, Verified, VerifyFailure

MOST_SIGNATURES = 20  #: in one header; a rotation needs two
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_VALUE = re.compile(r"[A-Za-z0-9+/=_:.-]+")


@dataclass(frozen=True, slots=True)
class Parts:
    """The header is a list of `name=value`."""

    separator: str
    time: str | None  #: the name of the part with the signed time
    signature: str  #: the name of the parts with a signature

    def read(self, text: str, header: str) -> tuple[str, Sequence[str]] | Unverified:
        """The time (empty without one), and the signatures."""
        pairs = [part.partition("=") for part in text.split(self.separator)]
        if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, _, value in pairs):
            return Unverified(VerifyFailure.MALFORMED, f"header {header} is not a list of name=value")
        times = [value for name, _, value in pairs if name == self.time]
        signatures = [value for name, _, value in pairs if name == self.signature]
        if len(times) != (self.time is not None) or not 0 < len(signatures) <= MOST_SIGNATURES:
            needed = f"one {self.time} and a {self.signature}" if self.time else f"a {self.signature}"
            return Unverified(VerifyFailure.MALFORMED, f"header {header} needs {needed}")
        return (times[0] if times else ""), signatures

    def write(self, timestamp: str, signature: str) -> str:
        """The text that `read` takes."""
        timed = [f"{self.time}={timestamp}"] if self.time else []
        return self.separator.join([*timed, f"{self.signature}={signature}"])


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """Reads a request whose signature is in a header."""

    header: str
    message: Message = field(default_factory=lambda: Message.of("{body}"))
    prefix: str = ""
    parts: Parts | None = None  #: None: the whole text after the prefix is the signature
    timestamp_header: str | None = None
    timestamp_format: TimestampFormat = "unix"
    tolerance: float = TOLERANCE_SECONDS

    def read(self, inbound: Inbound, now: int) -> tuple[bytes, Sequence[str]] | Unverified:
        """The signed text, and the signatures; one of them must fit. `now` in ms."""
        given = one_header(inbound, self.header)
        if isinstance(given, Unverified):
            return given
        if not given.startswith(self.prefix):
            return Unverified(VerifyFailure.MALFORMED, f"header {self.header} does not begin with the prefix")
        text, timestamp, name = given.removeprefix(self.prefix), "", ""
        signatures: Sequence[str] = (text,)
        if self.parts is not None:
            found = self.parts.read(text, self.header)
            if isinstance(found, Unverified):
                return found
            timestamp, signatures = found
            name = f"{self.parts.time} of {self.header}"
        if self.timestamp_header is not None:
            sent = one_header(inbound, self.timestamp_header)
            if isinstance(sent, Unverified):
                return sent
            timestamp, name = sent, f"header {self.timestamp_header}"
        if timestamp:
            refused = check_time(timestamp, name, self.tolerance, now, self.timestamp_format)
            if refused is not None:
                return refused
        message = self.message.filled(inbound, timestamp)
        return message if isinstance(message, Unverified) else (message, signatures)

    def write(self, timestamp: str, signature: str) -> tuple[tuple[str, str], ...]:
        """The headers with time and signature, as `read` takes them."""
        text = signature if self.parts is None else self.parts.write(timestamp, signature)
        signed = (self.header, self.prefix + text)
        return (signed,) if self.timestamp_header is None else ((self.timestamp_header, timestamp), signed)

    def proof(self, inbound: Inbound, now: int, sign: Callable[[bytes], str]) -> SenderProof | Unsignable:
        """What a sender adds at `now` (ms). Signed headers that the request lacks get a new id each."""
        names = {name.lower() for name, _ in inbound.headers}
        added = tuple((name, str(uuid.uuid4())) for name in self.message.headers if name.lower() not in names)
        timestamp = written_time(now, self.timestamp_format)
        message = self.message.filled(replace(inbound, headers=inbound.headers + added), timestamp)
        if isinstance(message, Unverified):
            return Unsignable(message.reason)
        return SenderProof((*added, *self.write(timestamp, sign(message))))


@dataclass(frozen=True, slots=True)
class HmacHeader:
    """Verifies a header that carries an HMAC (RFC 2104)."""

    keys: tuple[bytes, ...]
    signed: SignedHeader
    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    verifies: bool = True

    @property
    def signed_parts(self) -> SignedParts:
        """See Verifier.signed_parts."""
        return self.signed.message.coverage(self.signed.timestamp_header)

    def verify(self, inbound: Inbound, now: int) -> Verified | Unverified:
        """See Verifier.verify."""
        found = self.signed.read(inbound, now)
        if isinstance(found, Unverified):
            return found
        message, signatures = found
        good = False
        for signature in signatures:
            good |= signed_by_any(self.keys, self.algorithm, message, signature, self.encoding)
        return Verified(without_credentials(inbound)) if good else WRONG_SIGNATURE

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:
        """See Verifier.sign."""
        if not self.keys:
            return NO_SECRET
        key = self.keys[0]
        return self.signed.proof(
            inbound, now, lambda message: encoded(hmac.digest(key, message, self.algorithm), self.encoding)
        )
