"""Replaces values in forms. Other fields keep their bytes, including their percent-encoding."""

import re
from collections.abc import Callable, Collection
from urllib.parse import quote_plus

from router.domain.credentials import parameter_name
from router.payload.charset import UTF_8, decoded, holds_ascii
from router.payload.form import unquoted
from router.payload.json_text import as_read, without_bom
from router.payload.redact.chosen import MARK, Chosen, replaced
from router.payload.redact.json_text import json_spans, redact_json
from router.payload.redact.patterns import Reach
from router.payload.redact.recoding import recoded

QUOTED = quote_plus(MARK)
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")


def redact_form(body: bytes, charset: str, chosen: Chosen) -> bytes:
    """The form with the values of the chosen fields replaced."""
    seen: dict[str, int] = {}

    def edit(name: str, value: bytes, _: str) -> bytes:
        index = seen[name] = seen.get(name, -1) + 1
        below = None if chosen is None else chosen.get(name, {})
        return QUOTED.encode() if below is None or index in below else value

    return _with_values(body, charset, edit)


def redact_json_field(body: bytes, charset: str, field: str, chosen: Chosen, reach: Reach) -> bytes:
    """The form with the chosen values replaced in the JSON that a field holds."""

    def edit(name: str, value: bytes, used: str) -> bytes:
        return _redact_quoted(value, used, chosen, reach) if name == field else value

    return _with_values(body, charset, edit)


def redact_query(query: str, names: Collection[str]) -> str:
    """A raw query with the values of these parameters replaced."""
    parts = query.split("&")
    for number, part in enumerate(parts):
        if part and parameter_name(part) in names:
            parts[number] = f"{part.partition('=')[0]}={QUOTED}"
    return "&".join(parts)


def _with_values(body: bytes, charset: str, edit: Callable[[str, bytes, str], bytes]) -> bytes:
    """The form with each value edited. `edit` takes the name, the value and the charset, and returns the new value."""
    text = without_bom(body)
    if not holds_ascii(charset):
        utf_8, codec = recoded(text, charset)
        return codec.encoded(_with_values(utf_8, UTF_8, edit))
    parts = text.split(b"&")
    for number, part in enumerate(parts):
        if part:
            head, _, value = part.partition(b"=")
            made = edit(decoded(unquoted(head), charset), value, charset)
            parts[number] = part if made == value else head + b"=" + made
    return body[: len(body) - len(text)] + b"&".join(parts)


def _redact_quoted(value: bytes, charset: str, chosen: Chosen, reach: Reach) -> bytes:
    """JSON as the value of a field."""
    data = unquoted(value)
    text, codec = as_read(data, charset)
    if codec is not None:
        return quote_plus(redact_json(data, charset, chosen, reach)).encode()
    before = len(data) - len(text)
    spans = [
        (start + before, end + before, quote_plus(by).encode()) for start, end, by in json_spans(text, chosen, reach)
    ]
    places = _RawPlaces(value)
    raw = {at: places.of(at) for at in sorted({at for start, end, _ in spans for at in (start, end)})}
    return replaced(value, [(raw[start], raw[end], by) for start, end, by in spans])


class _RawPlaces:
    """Maps places in decoded bytes to places in the encoded bytes. Ask in rising order."""

    def __init__(self, value: bytes) -> None:
        self._found = _ENCODED.finditer(value)
        self._next = next(self._found, None)
        self._shift = 0  #: how much further the encoded bytes are

    def of(self, at: int) -> int:
        """The place of the decoded byte at `at`."""
        while self._next is not None and self._next.start() - self._shift < at:
            self._shift += 2
            self._next = next(self._found, None)
        return at + self._shift
