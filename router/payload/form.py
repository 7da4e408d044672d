"""Reads forms: `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), percent-encoded in any charset."""

import re
from binascii import a2b_qp
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from router.domain.errors import PayloadError
from router.payload.charset import UTF_8, decoded, holds_ascii
from router.payload.json_text import without_bom

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 10_000  #: real ones have some dozens

# A name and an equals sign, without blanks except at the end: the encoding removes blanks, and prose has them.
_FORM = re.compile(rb"[A-Za-z0-9_.\-\[\]%+&*~!$'():;@,/?|]+=[^\x00-\x20\x7f]*+[\r\n]*+")
_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PIECE = 64 * 1024  #: bytes decoded at once; the library takes fifty times the memory of its input

Fields = list[tuple[str, bytes]]
"""Names, and their values in the form's charset, in the order received."""


def is_form(body: bytes) -> bool:
    """Whether bytes that are not JSON look like a form."""
    return _FORM.fullmatch(without_bom(body)) is not None


def read_fields(body: bytes, charset: str = UTF_8) -> Fields:
    """The fields of the form, with values as bytes. Raises PayloadError if there are too many."""
    body = without_bom(body)
    if not holds_ascii(charset):  # form encoding is defined only for charsets that contain ASCII
        body = decoded(body, charset).encode()
        charset = UTF_8
    if body.count(b"&") >= MAX_FIELDS:
        raise PayloadError(f"the form has more than {MAX_FIELDS} fields")
    fields: Fields = []
    for part in body.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            fields.append((decoded(unquoted(name), charset), unquoted(value)))
    return fields


def as_mapping(fields: Fields, charset: str = UTF_8) -> dict[str, Any]:
    """The texts by name; a list for a repeated name."""
    charset = charset if holds_ascii(charset) else UTF_8
    form: dict[str, Any] = {}
    for name, raw in fields:
        value = decoded(raw, charset)
        if name not in form:
            form[name] = value
        elif isinstance(form[name], list):
            form[name].append(value)
        else:
            form[name] = [form[name], value]
    return form


def unquoted(data: bytes) -> bytes:
    """The bytes that a name or a value stands for."""
    data = data.replace(b"+", b" ")
    if b"%" not in data:
        return data
    return by_pieces(data) if _BROKEN.search(data) else _WHOLE(data)


def by_pieces(data: bytes) -> bytes:
    """Decode %XX by the standard library's function for it, piece by piece."""
    return b"".join(unquote_to_bytes(piece) for piece in _pieces(data))


def by_quoted_printable(data: bytes) -> bytes:
    """Decode %XX a hundred times as fast: quoted-printable has = for %, and its decoder is in C."""
    return a2b_qp(data.replace(b"=", b"=3D").replace(b"%", b"="))


def chosen(quick: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """`quick` if it decodes every byte as `by_pieces` does, plain and encoded; otherwise `by_pieces`."""
    plain = bytes(byte for byte in range(256) if byte != ord("%"))
    tried = plain + b"".join(b"%%%02x%%%02X" % (byte, byte) for byte in range(256)) + b" \n\t\r\n"
    try:
        return quick if quick(tried) == by_pieces(tried) else by_pieces
    except ValueError:
        return by_pieces


def _pieces(data: bytes) -> Iterator[bytes]:
    """The data in pieces; no cut divides a %XX."""
    start = 0
    while start < len(data):
        end = start + _PIECE
        cut = data.find(b"%", max(start + 1, end - 2), end)
        end = cut if cut >= 0 else end
        yield data[start:end]
        start = end


_WHOLE = chosen(by_quoted_printable)
