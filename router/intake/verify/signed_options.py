"""The options of schemes with a signature in a header: the header's format, and the signed text."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from router.domain.units import Duration
from router.intake.verify.headers import check_header
from router.intake.verify.message import Message, check_message
from router.intake.verify.signed_header import Parts, SignedHeader
from router.intake.verify.times import TOLERANCE_SECONDS, TimestampFormat
from router.plugins.build import Build
from router.plugins.options import Options as Base

Over = Literal["body", "decoded"]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SEPARATOR = re.compile(r"[,;|&] ?| ")


class PartsOptions(Base):
    """How a header with several parts is written."""

    separator: str = Field(default=",", description="The separator of the parts.")
    time: str | None = Field(default=None, description="The name of the part with the signed time.")
    signature: str = Field(description="The name of the parts with a signature; one that fits is enough.")


class SignedHeaderOptions(Base):
    """The signature's header, and the signed text."""

    header: str = Field(description="The header that carries the signature.")
    prefix: str = Field(default="", description="The text before the signature, such as sha256=.")
    parts: PartsOptions | None = Field(
        default=None, description="For a header of name=value parts; by default the header is the signature."
    )
    timestamp_header: str | None = Field(default=None, description="The header that carries the signed time.")
    timestamp_format: TimestampFormat = Field(
        default="unix",
        description="How the time is written: unix (s; large numbers are ms), unix_ms or iso8601.",
    )
    tolerance: Duration = Field(default=TOLERANCE_SECONDS, description="How far the signed time may be off, both ways.")
    signed: str | None = Field(
        default=None,
        description="The signed text, from {timestamp} {body} {url} {method} {header:NAME}; by default {body}, or "
        "{timestamp}.{body} with a time.",
    )
    url: str | None = Field(
        default=None, description="For {url}: the webhook's public URL as the provider was told, without its query."
    )
    over: Over = Field(
        default="body", description="Of a gzip body: whether the sent bytes are signed, or the decoded ones."
    )


def signed_header(options: SignedHeaderOptions, build: Build) -> SignedHeader:
    """Compile the options. Faults go to the build."""
    for name in ("header", "timestamp_header"):
        value = getattr(options, name)
        if value is not None:
            check_header(value, build, name)
    if not options.prefix.isascii():
        build.fault("expected plain ASCII", "prefix")
    parts = None if options.parts is None else _parts(options.parts, build)
    timed = options.timestamp_header is not None or (parts is not None and parts.time is not None)
    if parts is not None and parts.time is not None and options.timestamp_header is not None:
        build.fault("the time comes from parts or from timestamp_header, not from both", "timestamp_header")
    text = options.signed if options.signed is not None else ("{timestamp}.{body}" if timed else "{body}")
    check_message(text, build, timed=timed, url=options.url, written=options.signed is not None)
    if options.url is not None and _has_user(options.url):
        build.fault("leave user name and password out of url", "url")
    return SignedHeader(
        header=options.header,
        message=Message.of(text, options.url),
        prefix=options.prefix,
        parts=parts,
        timestamp_header=options.timestamp_header,
        timestamp_format=options.timestamp_format,
        tolerance=options.tolerance,
    )


def _parts(options: PartsOptions, build: Build) -> Parts:
    if not _SEPARATOR.fullmatch(options.separator):
        build.fault("expected one of , ; | & (perhaps with a blank after it) or a blank", "parts", "separator")
    for name in ("time", "signature"):
        value = getattr(options, name)
        if value is not None and not _NAME.fullmatch(value):
            build.fault("expected a part name of letters, digits, _ and -", "parts", name)
    if options.time == options.signature:
        build.fault("the time and the signature are two parts", "parts", "time")
    return Parts(options.separator, options.time, options.signature)


def _has_user(url: str) -> bool:
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:
        return False
