"""Decodes bodies with `Content-Encoding: gzip`, up to the size that their source accepts."""

import zlib
from dataclasses import replace

from router.domain.request import Inbound
from router.intake.rejection import Rejection, large_body, unreadable_body
from router.rules.source import Source

GZIP = ("gzip", "x-gzip")  #: x-gzip: the same under its old name (RFC 9110, section 8.4.1.3)
_MOST_MEMBERS = 1000  #: a gzip text may have several members; an empty one has 20 bytes
_GZIP_WINDOW = 31  #: zlib's code for a gzip header and any window


def codings(inbound: Inbound) -> list[str]:
    """The codings that Content-Encoding names, in lower case, without `identity`."""
    values = inbound.named.by_name.get("content-encoding")
    if values is None:
        return []
    names = (coding.strip().lower() for value in values for coding in value.split(","))
    return [name for name in names if name not in ("", "identity")]


def decoded(inbound: Inbound, source: Source) -> Inbound | Rejection:
    """The request with its body decoded, and without headers about the encoded body."""
    body = unzipped(inbound.body, source.max_body)
    if body is None:
        return unreadable_body("the body is not valid gzip, though its Content-Encoding says gzip")
    if len(body) > source.max_body:
        return large_body(source)
    kept = tuple(item for item in inbound.headers if item[0].lower() not in ("content-encoding", "content-length"))
    return replace(inbound, headers=kept, body=body)


def unzipped(data: bytes, limit: int) -> bytes | None:
    """The decoded data, cut soon after the limit; None if the data is not gzip."""
    pieces: list[bytes] = []
    size = 0
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            pieces.append(member.decompress(data, limit - size + 1))
        except zlib.error:
            return None
        size += len(pieces[-1])
        if size > limit:
            return b"".join(pieces)
        if not member.eof:
            return None
        data = member.unused_data.lstrip(b"\0")  # padding after the end is allowed
        if not data:
            return b"".join(pieces)
    return None
