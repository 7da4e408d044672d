"""Replaces values in JSON. Numbers, white space, the order of keys and escapes stay as they were written."""

import re

from router.domain.items import PlaceKey
from router.payload.json_text import as_read, read_json
from router.payload.redact.chosen import MARK, Chosen, Span, replaced
from router.payload.redact.patterns import Reach, below

_MARK = f'"{MARK}"'.encode()
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(rb"[\s,]*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^\s,\]}]++", re.DOTALL)
_BETWEEN_BRACKETS = rb'[^"\[\]{}]*+'


def _without_brackets(nested: int) -> bytes:
    """A pattern for text up to a bracket. Lists and mappings nested up to this depth count as part of the text, since a
    regular expression passes them faster than a loop. Deeper ones are examined level by level."""
    within = _STRING
    if nested:
        inner = _without_brackets(nested - 1)
        within += rb"|\[" + inner + rb"\]|\{" + inner + rb"\}"
    return _BETWEEN_BRACKETS + rb"(?:(?:" + within + rb")" + _BETWEEN_BRACKETS + rb")*+"


_BRACKET = re.compile(_without_brackets(3) + rb"([\[\]{}])", re.DOTALL)
_BLANKS = re.compile(rb"\s*+")
_BETWEEN = re.compile(rb"[\s,]*+")
_OBJECT, _LIST, _LIST_END = ord("{"), ord("["), ord("]")


def redact_json(body: bytes, charset: str, chosen: Chosen, reach: Reach) -> bytes:
    """The text with the chosen values replaced. The text was read as JSON in this charset before."""
    text, codec = as_read(body, charset)
    made = replaced(text, json_spans(text, chosen, reach))
    if codec is None:
        return body[: len(body) - len(text)] + made  # with the byte order mark, if there is one
    return codec.encoded(made)


def json_spans(text: bytes, chosen: Chosen, reach: Reach) -> list[Span]:
    """Where the chosen values are in valid JSON, including those behind a repeated key."""
    scan = _Scan(text)
    scan.value(_after(_BLANKS, text, 0), chosen, reach)
    return scan.spans


class _Scan:
    """One walk through a text."""

    def __init__(self, text: bytes) -> None:
        self.spans: list[Span] = []
        self._text = text

    def value(self, at: int, chosen: Chosen, reach: Reach) -> int:
        """Walk through the value that begins at `at`. Returns where it ends."""
        if chosen is None:
            end = self._end(at)
            self.spans.append((at, end, _MARK))
            return end
        first = self._text[at]
        if first == _OBJECT:
            return self._members(at + 1, chosen, reach)
        return self._items(at + 1, chosen, reach) if first == _LIST else self._end(at)

    def _members(self, at: int, chosen: dict[PlaceKey, Chosen], reach: Reach) -> int:
        text, seen = self._text, dict[str, tuple[int, int]]()
        while (found := _KEY.match(text, at)) is not None:
            key, start = _name(found[1]), found.end()
            rest = below(reach, key)
            if rest == () and key not in chosen:
                at = self._end(start)
                continue
            at = self.value(start, chosen.get(key, {}), rest)
            if key in seen:
                self.spans.append((*seen[key], _MARK))
            seen[key] = (start, at)
        return _after(_BLANKS, text, at) + 1

    def _items(self, at: int, chosen: dict[PlaceKey, Chosen], reach: Reach) -> int:
        text, index = self._text, 0
        while text[at := _after(_BETWEEN, text, at)] != _LIST_END:
            rest = below(reach, index)
            at = self._end(at) if rest == () and index not in chosen else self.value(at, chosen.get(index, {}), rest)
            index += 1
        return at + 1

    def _end(self, at: int) -> int:
        """Where the value that begins at `at` ends. Its contents are skipped."""
        text = self._text
        if text[at] not in (_OBJECT, _LIST):
            return _after(_SCALAR, text, at)
        at, depth = at + 1, 1
        while depth:
            found = _BRACKET.match(text, at)
            assert found is not None  # the text is valid JSON
            depth += 1 if found[1] in b"[{" else -1
            at = found.end()
        return at


def _after(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    found = pattern.match(text, at)
    assert found is not None  # the text is valid JSON
    return found.end()


def _name(token: bytes) -> str:
    """A key as rules read it."""
    if b"\\" not in token and token.isascii():
        return token[1:-1].decode()
    name: str = read_json(token, "a key")
    return name
