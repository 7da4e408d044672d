"""Replaces values in XML: the content of elements, attributes, and the text beside them."""

import re
from dataclasses import dataclass, field
from typing import Any

from router.payload.redact.chosen import MARK, Chosen, Span, replaced
from router.payload.xml_text import as_utf_8

_TOKEN = re.compile(
    rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|</[^>]*+>"
    rb"|<(?P<name>[^\s/>!?]++)(?P<attributes>(?:[^>\"'/]|\"[^\"]*+\"|'[^']*+'|/(?!>))*+)(?P<empty>/?)>|[^<]++",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(rb"([^\s=]+)\s*=\s*(\"[^\"]*+\"|'[^']*+')")
_NAMESPACE = re.compile(rb"xmlns(?::|$)")
_TEXT = "#text"
_QUOTED = f'"{MARK}"'.encode()


@dataclass(slots=True)
class _Open:
    """An element that has begun."""

    value: Any  #: as rules read it
    chosen: Chosen
    start: int  #: where its content begins
    name: bytes = b""
    seen: dict[str, int] = field(default_factory=dict)
    text: bool = False  #: whether its text was replaced already


def redact_xml(body: bytes, charset: str, payload: Any, chosen: Chosen) -> bytes:
    """The document with the chosen values replaced; `payload` is what rules see of it."""
    text, codec = as_utf_8(body, charset)
    spans: list[Span] = []
    opened = [_Open(payload, dict.fromkeys(payload) if chosen is None else chosen, 0)]
    for token in _TOKEN.finditer(text):
        if token["name"]:
            _begin(token, opened, spans)
        elif token[0].startswith(b"</"):
            _end(opened, token.start(), spans)
        elif not token[0].startswith((b"<!--", b"<?")):
            _text(token, opened[-1], spans)
    made = replaced(text, spans)
    if codec is None:
        return body[: len(body) - len(text)] + made
    return codec.encoded(made)


def _begin(token: re.Match[bytes], opened: list[_Open], spans: list[Span]) -> None:
    outer, name = opened[-1], token["name"].decode()
    value, chosen = _below(outer, name)
    if chosen is None:
        kept = b"".join(b" " + one[0] for one in _ATTRIBUTE.finditer(token["attributes"]) if _NAMESPACE.match(one[1]))
        tag = b"<" + token["name"] + kept + b">"
        whole = tag + MARK.encode() + b"</" + token["name"] + b">"
        spans.append((token.start(), token.end(), whole if token["empty"] else tag))
    elif chosen:
        start = token.start("attributes")
        spans += [
            (start + one.start(2), start + one.end(2), _QUOTED)
            for one in _ATTRIBUTE.finditer(token["attributes"])
            if chosen.get("@" + one[1].decode(), {}) is None
        ]
    if not token["empty"]:
        opened.append(_Open(value, chosen, token.end(), token["name"]))


def _below(outer: _Open, name: str) -> tuple[Any, Chosen]:
    """The value of an element that begins, and what is chosen in it. A repeated name gives a list."""
    if outer.chosen is None:
        return None, {}  # the element around it is replaced as a whole
    value = outer.value[name] if outer.chosen else None
    chosen = outer.chosen.get(name, {})
    if not isinstance(value, list):
        return value, chosen
    index = outer.seen[name] = outer.seen.get(name, -1) + 1
    return value[index], None if chosen is None else chosen.get(index, {})


def _end(opened: list[_Open], at: int, spans: list[Span]) -> None:
    ended = opened.pop()
    if ended.chosen is None:
        spans.append((ended.start, at, MARK.encode()))


def _text(token: re.Match[bytes], inner: _Open, spans: list[Span]) -> None:
    """Replace the first piece of an element's own text, and remove its further pieces."""
    if inner.chosen and inner.chosen.get(_TEXT, {}) is None and token[0].strip():
        spans.append((token.start(), token.end(), b"" if inner.text else MARK.encode()))
        inner.text = True
