r"""Reads JSON from senders, within limits of depth and of the number of values.

Invalid Unicode is replaced: half a surrogate pair (`\ud83d` alone) and bytes that are not UTF-8 become U+FFFD. If it
were refused, the provider would send the same signed body again and again. Every other deviation from JSON is an error.
"""

import codecs
import re
from typing import Any

import orjson

from router.domain.errors import PayloadError
from router.payload.charset import UTF_8, decoded
from router.payload.redact.recoding import Codec, recoded
from router.runtime.pacing import GC_PAUSED

MAX_DEPTH = 200  #: code that walks a payload recursively must not run out of stack
MAX_VALUES = 1_000_000  #: twice those of 25 MiB of ordinary JSON; as `[[],[],…]` they take 0.1 GB of memory
MAX_HALVES = 100_000  #: half surrogate pairs that are replaced; real senders have a few, from cut texts
LARGE = 256 * 1024  #: bytes from which the garbage collector would slow down reading

_BOM_16_32 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = rb"(" + _HIGH + rb"|" + _LOW + rb")"
# An escape starts at the first backslash of a run, or after escaped backslashes.
_SURROGATES = re.compile(rb"(?<!\\)(?:\\\\)*+(?:(?:" + _HIGH + _LOW + rb")++" + _HALF + rb"?+|" + _HALF + rb")")
_ANY_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_REPLACEMENT = rb"\ufffd"
_STRING = re.compile(rb'"[^"]*+"')
_PIECE = 1024 * 1024  #: bytes counted at once, so that counting takes little memory


class NotJson(PayloadError):
    """The text is not JSON; other PayloadErrors are about JSON beyond a limit."""


def read_json(data: bytes, what: str, *, charset: str = UTF_8, bounded: bool = True) -> Any:
    """The value; white space alone is null. Raises NotJson, or PayloadError above a limit.

    Messages call the text `what` and never contain it. `charset` applies if the text is not UTF-8. Without `bounded`
    the number of values has no limit.
    """
    data = _utf_8(data)
    if not data or data.isspace():
        return None
    if bounded and len(data) > 2 * MAX_VALUES and _values(data) > MAX_VALUES:
        raise PayloadError(f"{what} holds more than {MAX_VALUES:,} values; send it in parts")
    if len(data) < LARGE:
        payload = _parsed(data, what, charset)
    else:
        with GC_PAUSED:
            payload = _parsed(data, what, charset)
    if nested_deeper(data, payload, MAX_DEPTH):
        raise PayloadError(f"{what} is nested deeper than {MAX_DEPTH} levels")
    return payload


def without_bom(data: bytes) -> bytes:
    """The text without the byte order mark that some editors and .NET write before UTF-8."""
    return data[3:] if data.startswith(codecs.BOM_UTF8) else data


def _utf_8(data: bytes) -> bytes:
    if data.startswith(_BOM_16_32):
        wide = data[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
        return decoded(data, "utf_32" if wide else "utf_16").encode()
    return without_bom(data)


def as_read(data: bytes, charset: str) -> tuple[bytes, Codec | None]:
    """The text that `read_json` found valid, and how it was decoded.

    None: it is the end of the data, after the byte order mark of UTF-8 if there is one. Its Unicode may be invalid.
    """
    if data.startswith(_BOM_16_32):
        mark, codec = next(one for one in _CODECS if data.startswith(one[0]))
        return recoded(data, codec, mark)
    data = without_bom(data)
    if charset == UTF_8 or _is_json(data):
        return data, None
    try:
        data.decode()
    except UnicodeDecodeError:
        return recoded(data, charset)
    return recoded(data, charset) if charset.startswith(("utf_16", "utf_32")) else (data, None)


_CODECS = (
    (codecs.BOM_UTF32_LE, "utf_32_le"),
    (codecs.BOM_UTF32_BE, "utf_32_be"),
    (codecs.BOM_UTF16_LE, "utf_16_le"),
    (codecs.BOM_UTF16_BE, "utf_16_be"),
)


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _parsed(data: bytes, what: str, charset: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        repaired = _repaired(data, what, charset)
        if repaired is data:
            raise _fault(error, what) from None
    try:
        return orjson.loads(repaired)
    except orjson.JSONDecodeError as error:
        raise _fault(error, what) from None


def _fault(error: orjson.JSONDecodeError, what: str) -> PayloadError:
    if "depth" in error.msg:  # orjson's own limit
        return PayloadError(f"{what} is not valid JSON here: it is nested deeper than {MAX_DEPTH} levels")
    return NotJson(f"{what} is not valid JSON: line {error.lineno}, column {error.colno}")


def _repaired(data: bytes, what: str, charset: str) -> bytes:
    """The text with invalid Unicode replaced; the same object if its Unicode is valid."""
    try:
        data.decode()
        if charset.startswith(("utf_16", "utf_32")):
            data = decoded(data, charset).encode()
    except UnicodeDecodeError:
        data = decoded(data, charset).encode()
    return _replace_half_pairs(data, what) if _ANY_SURROGATE.search(data) else data


def _replace_half_pairs(data: bytes, what: str) -> bytes:
    whole, kept, end, count = memoryview(data), bytearray(), 0, 0
    for found in _SURROGATES.finditer(data):
        if found.lastindex is not None:
            count += 1
            if count > MAX_HALVES:
                raise PayloadError(f"{what} is not valid JSON: it holds more than {MAX_HALVES:,} halves of characters")
            kept += whole[end : found.start(found.lastindex)]
            kept += _REPLACEMENT
            end = found.end()
    kept += whole[end:]
    return bytes(kept)


def _values(data: bytes) -> int:
    """The number of values in a JSON text, counted without parsing. Counting stops soon after MAX_VALUES.

    Each comma and each opening bracket counts, except those of `[]` and `{}`. A container with only blanks in it counts
    twice. If the text is not JSON, the number is meaningless.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") < MAX_VALUES:
        return 1
    text = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    count, inside, end = 1, False, 0
    while end < len(text) and count <= MAX_VALUES:
        start, end = end, end + _PIECE
        while text[end - 1 : end] in (b"[", b"{") and end < start + _PIECE + MAX_DEPTH:
            end += 1  # keep `[]` and `{}` in one piece
        piece = text[start:end]
        if inside:
            _, quote, piece = piece.partition(b'"')
            inside = not quote
        piece, quote, _ = _STRING.sub(b"", piece).partition(b'"')
        inside = inside or bool(quote)
        count += piece.count(b",") + piece.count(b"[") + piece.count(b"{") - piece.count(b"[]") - piece.count(b"{}")
    return count


def nested_deeper(data: bytes, payload: Any, limit: int) -> bool:
    """Whether JSON, given as text and parsed, is nested deeper than the limit. The number of brackets usually tells."""
    return _brackets(data, limit + 1) > limit and _is_deeper(payload, limit)


def _brackets(data: bytes, most: int) -> int:
    """How many brackets open something; up to `most` of each kind are counted."""
    if len(data) >= LARGE:  # no copies of a large text
        return data.count(b"[") + data.count(b"{")
    # Removing the few brackets of a text takes a quarter of the time that counting them takes.
    return len(data) - len(data.replace(b"[", b"", most).replace(b"{", b"", most))


def _is_deeper(payload: Any, limit: int) -> bool:
    level = [payload]
    for _ in range(limit):
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value if type(value) is list else ())
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True
