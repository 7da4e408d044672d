"""Scheme hmac: any sender that signs its bodies with a shared key (RFC 2104)."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from router.domain.secrets import Secrets
from router.domain.units import Duration
from router.intake.verify.headers import check_header
from router.intake.verify.signature import TOLERANCE_SECONDS, SignedHeader, key_bytes, resolve
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.scheme import SenderProfile, Verifier

DEFAULTS: Mapping[str, Any] = {}
PROFILE = SenderProfile(headers=("{header}", "{timestamp_header}"))
_PART = re.compile(r"(\{timestamp\}|\{body\})")
_WORDS = ("timestamp", "body")
_WORD = re.compile(r"\{([^{}\"']+)\}")  #: JSON around a word stays what it is


class Options(Base):
    """How the sender signs."""

    secret: Secrets = Field(description="The shared key, or a list of them for rotation.")
    header: str = Field(description="The header that carries the signature.")
    algorithm: Literal["sha1", "sha256", "sha512"] = Field(default="sha256", description="The hash.")
    prefix: str = Field(default="", description="What stands before the signature, such as sha256=.")
    encoding: Literal["hex", "base64"] = Field(
        default="hex", description="How the signature is written: lower-case hex digits, or base64."
    )
    timestamp_header: str | None = Field(default=None, description="The header that carries a signed Unix time.")
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the timestamp may be off, both ways.")
    signed: str | None = Field(
        default=None, description="What is signed; {body}, or {timestamp}.{body} with a timestamp_header."
    )


def compile(options: Options, build: Build) -> Verifier:  # noqa: A001 - the name every scheme module has
    """Options in, Verifier out; faults go to the build."""
    for name in ("header", "timestamp_header"):
        value = getattr(options, name)
        if value is not None:
            check_header(value, build, name)
    if not options.prefix.isascii():
        build.fault("expected plain ASCII", "prefix")
    timed = options.timestamp_header is not None
    signed = options.signed if options.signed is not None else ("{timestamp}.{body}" if timed else "{body}")
    for word in dict.fromkeys(_WORD.findall(signed)):
        if word not in _WORDS:
            near = difflib.get_close_matches(word.strip().lower()[:20], _WORDS, 1)
            cure = f"did you mean {{{near[0]}}}?" if near else "there are {timestamp} and {body}"
            build.fault_unless_recorded(f"{{{word[:40]}}} is no word of signed; {cure}", "signed")
    if "{body}" not in signed:
        build.fault("{body} has to be signed, or anybody could change it", "signed")
    if ("{timestamp}" in signed) != timed:
        build.fault("{timestamp} in signed and timestamp_header go together", "signed" if options.signed else "header")
    return SignedHeader(
        keys=key_bytes(resolve(options.secret, build)),
        header=options.header,
        algorithm=options.algorithm,
        prefix=options.prefix,
        encoding=options.encoding,
        timestamp_header=options.timestamp_header,
        tolerance=options.tolerance,
        message=tuple(part.encode() for part in _PART.split(signed) if part),
    )
