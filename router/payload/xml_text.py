"""Reads XML into a mapping, within limits, and without document types and entities.

`<a x="1"><b>t</b><b/></a>` is `{"a": {"@x": "1", "b": ["t", ""]}}`. Names keep their prefix. Text beside attributes or
elements is `#text`. The parser is Expat with the handlers of this module only: it opens no file and no address. A
document type could define entities, so it ends the reading.
"""

import re
from typing import Any
from xml.parsers import expat  # with document types refused, nothing is expanded or fetched

from router.domain.errors import PayloadError
from router.payload.charset import UTF_8, codec_of
from router.payload.redact.recoding import Codec, recoded

MAX_DEPTH = 200  #: as for JSON
MAX_NODES = 200_000  #: elements and attributes; real messages have some hundred
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml[\s?]|!--|[A-Za-z_\x80-\xff])")
_ENCODING = re.compile(rb"""\s*<\?xml[^>]{1,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_BOMS = (b"\xff\xfe", b"\xfe\xff")
_WIDE = (b"\xff\xfe<\0", b"\xfe\xff\0<")


class NotXml(PayloadError):
    """The text is not XML. Other PayloadErrors are about XML that is refused."""


def is_like_xml(body: bytes) -> bool:
    """Whether bytes begin as XML does."""
    return _START.match(body) is not None or body.startswith(_WIDE)


def read_xml(body: bytes, charset: str = UTF_8) -> Any:
    """The mapping. Raises NotXml, or PayloadError for a document type or beyond a limit.

    `charset`: the charset of the Content-Type. If it is UTF-8, the text's own declaration decides.
    """
    reader = _Reader()
    # Expat always gets UTF-8: it would look unknown names up in Python's registry, whose cache keeps every name.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    try:
        parser.Parse(as_utf_8(body, charset)[0], True)  # noqa: FBT003 - positional only
    except expat.ExpatError as error:
        raise NotXml(f"the body is not valid XML: line {error.lineno}, column {error.offset + 1}") from None
    return reader.top


def as_utf_8(body: bytes, charset: str) -> tuple[bytes, Codec | None]:
    """The text in UTF-8, and how it was decoded. None: the text is the body without leading blanks. Raises NotXml."""
    if charset == UTF_8:
        declared = _ENCODING.match(body)
        named = codec_of(declared[1].decode("ascii")) if declared else UTF_8
        if named is None:
            raise NotXml("the body is not valid XML: its encoding is unknown")
        charset = "utf_16" if body.startswith(_BOMS) else named
    if charset == UTF_8:
        return body.lstrip(), None
    mark = body[:2] if body.startswith(_BOMS) and charset == "utf_16" else b""
    exact = {b"\xff\xfe": "utf_16_le", b"\xfe\xff": "utf_16_be"}.get(mark, charset)
    text, codec = recoded(body, exact, mark)
    return text.decode().lstrip("\ufeff").lstrip().encode(), codec


def _refuse_doctype(*_: object) -> None:
    raise PayloadError("the body is XML with a document type, which is refused; send it without, or say parse: text")


class _Reader:
    """Builds the mapping from the parser's calls."""

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.top, [])]
        self._nodes = 0

    def start(self, _: str, attributes: list[str]) -> None:
        """An element begins."""
        self._nodes += 1 + len(attributes) // 2
        if self._nodes > MAX_NODES:
            raise PayloadError(f"the body holds more than {MAX_NODES:,} elements and attributes; send it in parts")
        if len(self._open) > MAX_DEPTH:
            raise PayloadError(f"the body is nested deeper than {MAX_DEPTH} levels")
        given = {f"@{attributes[i]}": attributes[i + 1] for i in range(0, len(attributes), 2)}
        self._open.append((given, []))

    def text(self, data: str) -> None:
        """Text within an element."""
        self._open[-1][1].append(data)

    def end(self, name: str) -> None:
        """An element ends."""
        held, texts = self._open.pop()
        text = "".join(texts)
        if held and text.strip():
            held["#text"] = text.strip()
        value = held or text
        outer = self._open[-1][0]
        if name not in outer:
            outer[name] = value
        elif isinstance(outer[name], list):
            outer[name].append(value)
        else:
            outer[name] = [outer[name], value]
