"""Scheme hmac: any sender that signs its bodies with a shared key (RFC 2104)."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from router.intake.verify.credentials import without_credentials
from router.intake.verify.signature import one_header, resolve, signed_by_any
from router.model import Inbound
from router.plugins import Build, Refused, Verified, Verifier
from router.plugins import Options as Base
from router.secrets import Secret, Secrets
from router.units import Duration

DEFAULTS: Mapping[str, Any] = {}
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PART = re.compile(r"(\{timestamp\}|\{body\})")
_TIMESTAMP = re.compile(r"[0-9]{1,15}")
_MILLISECONDS_FROM = 10**11  #: a timestamp this large counts milliseconds: in seconds it would be the year 5138


class Options(Base):
    """How the sender signs."""

    secret: Secrets = Field(description="The shared key, or a list of them for rotation.")
    header: str = Field(description="The header that carries the signature.")
    algorithm: Literal["sha1", "sha256", "sha512"] = Field(default="sha256", description="The hash.")
    prefix: str = Field(default="", description="What stands before the signature, such as sha256=.")
    encoding: Literal["hex", "base64"] = Field(default="hex", description="How the signature is written.")
    timestamp_header: str | None = Field(default=None, description="The header that carries a signed Unix time.")
    tolerance: Duration = Field(default=300.0, description="How far the timestamp may be off, both ways.")
    signed: str | None = Field(
        default=None, description="What is signed; {body}, or {timestamp}.{body} with a timestamp_header."
    )


@dataclass(frozen=True, slots=True)
class Hmac:
    """Verifies a signature."""

    secrets: tuple[Secret, ...]
    header: str
    algorithm: str
    prefix: str
    encoding: str
    timestamp_header: str | None
    tolerance: float
    signed: tuple[bytes, ...]  #: parts; {timestamp} and {body} are filled in
    verifies: bool = True

    def verify(self, inbound: Inbound, now: int) -> Verified | Refused:
        """See Verifier.verify."""
        given = one_header(inbound, self.header)
        if isinstance(given, Refused):
            return given
        timestamp = b""
        if self.timestamp_header is not None:
            found = self._timestamp(inbound, now)
            if isinstance(found, Refused):
                return found
            timestamp = found
        if not given.startswith(self.prefix):
            return Refused(f"header {self.header} does not begin with the prefix")
        signature = self._decode(given.removeprefix(self.prefix))
        if signature is None:
            return Refused(f"header {self.header} is not {self.encoding}")
        filled = {b"{timestamp}": timestamp, b"{body}": inbound.body}
        message = b"".join(filled.get(part, part) for part in self.signed)
        if not signed_by_any(self.secrets, self.algorithm, message, signature):
            return Refused("the signature does not fit the body and any secret")
        return Verified(without_credentials(inbound))

    def _decode(self, text: str) -> bytes | None:
        try:
            if self.encoding == "hex":
                return bytes.fromhex(text)
            return base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            return None

    def _timestamp(self, inbound: Inbound, now: int) -> bytes | Refused:
        assert self.timestamp_header is not None
        text = one_header(inbound, self.timestamp_header)
        if isinstance(text, Refused):
            return text
        if not _TIMESTAMP.fullmatch(text):
            return Refused(f"header {self.timestamp_header} is no Unix time")
        sent = int(text) if int(text) >= _MILLISECONDS_FROM else int(text) * 1000
        if abs(now - sent) > self.tolerance * 1000:
            return Refused("the timestamp is too far from now; is a clock wrong, or is this a replay?")
        return text.encode()


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    for name in ("header", "timestamp_header"):
        value = getattr(options, name)
        if value is not None and not HEADER_NAME.fullmatch(value):
            build.fault("a header's name is letters, digits and -", name)
    if not options.prefix.isascii():
        build.fault("expected plain ASCII", "prefix")
    timed = options.timestamp_header is not None
    signed = options.signed if options.signed is not None else ("{timestamp}.{body}" if timed else "{body}")
    if "{body}" not in signed:
        build.fault("{body} has to be signed, or anybody could change it", "signed")
    if ("{timestamp}" in signed) != timed:
        build.fault("{timestamp} in signed and timestamp_header go together", "signed" if options.signed else "header")
    return Hmac(
        secrets=resolve(options.secret, build),
        header=options.header,
        algorithm=options.algorithm,
        prefix=options.prefix,
        encoding=options.encoding,
        timestamp_header=options.timestamp_header,
        tolerance=options.tolerance,
        signed=tuple(part.encode() for part in _PART.split(signed) if part),
    )
