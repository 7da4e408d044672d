"""Replaces values in multipart/form-data. A chosen file becomes a field."""

import re

from router.domain.errors import PayloadError
from router.payload.charset import UTF_8
from router.payload.multipart import Parts, read_parts
from router.payload.redact.chosen import MARK, Chosen
from router.payload.redact.json_text import redact_json
from router.payload.redact.patterns import Reach

_DISPOSITION = re.compile(rb"content-disposition\s*:.*", re.IGNORECASE)
_FILENAME = re.compile(rb';\s*filename\*?\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^;]*)', re.IGNORECASE)
_END = b"\r\n\r\n"


def redact_multipart(body: bytes, boundary: str, chosen: Chosen) -> bytes:
    """The body with the chosen fields and files replaced. Raises PayloadError."""
    parts = read_parts(body, boundary)
    pieces = _pieces(body, boundary, parts)
    wanted, seen = list(parts), dict[str, int]()
    for number, (name, value) in enumerate(parts):
        index = seen[name] = seen.get(name, -1) + 1
        below = None if chosen is None else chosen.get(name, {})
        # Of a file, which is a mapping, anything chosen is the file itself.
        if below is None or index in below or any(isinstance(key, str) for key in below):
            pieces[number + 1] = _replaced(pieces[number + 1], is_file=isinstance(value, dict))
            wanted[number] = (name, MARK.encode())
    return _joined(pieces, boundary, wanted)


def redact_json_part(body: bytes, boundary: str, field: str, chosen: Chosen, reach: Reach) -> bytes:
    """The body with the chosen values replaced in the JSON that a field holds. Raises PayloadError."""
    parts = read_parts(body, boundary)
    pieces = _pieces(body, boundary, parts)
    for number, (name, value) in enumerate(parts):
        if name == field and isinstance(value, bytes):
            made = redact_json(value, UTF_8, chosen, reach)
            pieces[number + 1] = pieces[number + 1][: len(pieces[number + 1]) - len(value)] + made
            parts[number] = (name, made)
    return _joined(pieces, boundary, parts)


def _pieces(body: bytes, boundary: str, parts: Parts) -> list[bytes]:
    """The bytes before, between and after the boundaries: empty, the parts, and the end. Raises PayloadError."""
    pieces = (b"\r\n" + body).split(_delimiter(boundary))
    if len(pieces) != len(parts) + 2:
        raise PayloadError("the parts of the multipart/form-data can't be told apart, so nothing can be redacted")
    return pieces


def _joined(pieces: list[bytes], boundary: str, wanted: Parts) -> bytes:
    """Join the pieces to a body. Raises PayloadError if a reader would find other parts in it."""
    made = _delimiter(boundary).join(pieces)[len(b"\r\n") :]
    if read_parts(made, boundary) != wanted:
        raise PayloadError("the parts of the multipart/form-data are written in a way that can't be redacted")
    return made


def _delimiter(boundary: str) -> bytes:
    return b"\r\n--" + boundary.encode("latin-1")


def _replaced(piece: bytes, *, is_file: bool) -> bytes:
    head, _, _ = piece.partition(_END)
    if is_file:
        lines = [line for line in head.split(b"\r\n") if _DISPOSITION.fullmatch(line)]
        head = b"\r\n" + _FILENAME.sub(b"", b"\r\n".join(lines))
    return head + _END + MARK.encode()
