"""Reads `multipart/form-data` (RFC 7578) into a mapping, within limits.

A field is its text, a file `{filename, content_type, size}`: its bytes stay in the raw body. A repeated name is a list.
"""

import re
from typing import Any

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from router.domain.errors import PayloadError
from router.payload.charset import UTF_8, decoded

MEDIA_TYPE = "multipart/form-data"
MAX_PARTS = 1_000  #: real senders have some dozens
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  #: RFC 2046, section 5.1.1
_IN_TYPE = re.compile(r';\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_FIRST_PART = re.compile(
    rb"--([^\r\n]{1,70})\r\n(?:[^\r\n]+\r\n){0,7}?content-disposition:\s*form-data\b", re.IGNORECASE
)

Parts = list[tuple[str, Any]]
"""Names, with the bytes of a field, or the mapping of a file."""


class NotMultipart(PayloadError):
    """The body is not multipart/form-data."""


def boundary_in(content_type: str | None) -> str | None:
    """The boundary that a Content-Type names."""
    found = _IN_TYPE.search(content_type or "")
    return (found[1] or found[2]) if found else None


def boundary_of(body: bytes) -> str | None:
    """The boundary by which the bytes themselves are multipart/form-data; None if they are something else."""
    found = _FIRST_PART.match(body)
    if found is None:
        return None
    boundary = found[1].decode("latin-1")
    ends = body.rstrip(b"\r\n").endswith(b"--" + found[1] + b"--")
    return boundary if ends and _BOUNDARY.fullmatch(boundary) else None


def read_parts(body: bytes, boundary: str | None) -> Parts:
    """The parts in their order. Raises NotMultipart, or PayloadError beyond a limit."""
    if boundary is None or not _BOUNDARY.fullmatch(boundary):
        raise NotMultipart("the body is not valid multipart/form-data: its Content-Type has no usable boundary")
    parser = PushMultipartParser(
        boundary, max_header_count=8, max_header_size=4096, max_segment_count=MAX_PARTS, strict=True
    )
    parts: Parts = []
    segment: MultipartSegment | None = None
    pieces: list[bytes] = []
    try:
        with parser:
            for event in (*parser.parse(body), *parser.parse(b"")):
                if isinstance(event, MultipartSegment):
                    segment, pieces = event, []
                elif event:
                    pieces.append(bytes(event))
                elif segment is not None:
                    parts.append(_part(segment, pieces))
                    segment = None
    except ParserLimitReached:
        raise PayloadError(f"the form has more than {MAX_PARTS:,} parts, or too large headers") from None
    except (MultipartError, ValueError, LookupError):
        raise NotMultipart("the body is not valid multipart/form-data") from None
    return parts


def _part(segment: MultipartSegment, pieces: list[bytes]) -> tuple[str, Any]:
    name = segment.name or ""
    if segment.filename is None:
        return name, b"".join(pieces)
    size = sum(len(piece) for piece in pieces)
    return name, {"filename": segment.filename, "content_type": segment.content_type or "", "size": size}


def as_mapping(parts: Parts) -> dict[str, Any]:
    """Texts and files by name; a list for a repeated name."""
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, raw in parts:
        value = decoded(raw, UTF_8) if isinstance(raw, bytes) else raw
        if name not in found:
            found[name] = value
        elif name in repeated:
            found[name].append(value)
        else:
            found[name] = [found[name], value]
            repeated.add(name)
    return found
