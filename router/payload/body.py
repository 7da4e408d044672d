"""Reads the payload of a body: JSON, a form, multipart, JSON in a form field, XML, or text.

A signature covers the bytes of the body, but not its Content-Type, which an attacker with a recorded request can
change. So signed bytes alone decide their format. For unsigned bodies the Content-Type decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from router.domain.errors import PayloadError
from router.payload.charset import UTF_8, charset_of, decoded, says_utf_8
from router.payload.form import MEDIA_TYPE as FORM_TYPE
from router.payload.form import as_mapping, is_form, read_fields
from router.payload.json_text import NotJson, read_json
from router.payload.multipart import MEDIA_TYPE as MULTIPART_TYPE
from router.payload.multipart import as_mapping as parts_as_mapping
from router.payload.multipart import boundary_in, boundary_of, read_parts
from router.payload.xml_text import NotXml, is_like_xml, read_xml

Parse = Literal["json", "form", "multipart", "xml", "text"]


class Format(StrEnum):
    """The format of a body."""

    JSON = "json"
    FORM = "form"
    MULTIPART = "multipart"
    XML = "xml"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Body:
    """A body, parsed."""

    format: Format  #: of the body itself: a form stays a form if a field holds JSON
    payload: Any
    texts: bool = False  #: all values of the payload are text, as in a form


def read_declared(
    body: bytes,
    content_type: str | None,
    *,
    json_field: str | None = None,
    parse: Parse | None = None,
    bounded: bool = True,
) -> Body:
    """Read a body in its declared type. Raises PayloadError, whose message never contains the body.

    JSON by content type (application/json or …+json), or if there is none and the body parses. Forms, multipart and XML
    become a mapping, with a list for a repeated name. Everything else is text; bytes that are invalid in its charset
    are replaced (the raw body stays unchanged).
    """
    media_type, charset = media_type_of(content_type), charset_of(content_type)
    if parse == "json" or (parse is None and _is_json_type(media_type)):
        return Body(Format.JSON, read_json(body, "the body", charset=charset, bounded=bounded))
    if parse == "form" or (parse is None and media_type == FORM_TYPE):
        return _form(body, charset, json_field, bounded=bounded)
    if parse in ("xml", "multipart") or (parse is None and (_is_xml_type(media_type) or media_type == MULTIPART_TYPE)):
        return _structured(body, content_type, charset, json_field, parse, bounded=bounded)
    if parse is None and not media_type and body:
        try:
            return Body(Format.JSON, read_json(body, "the body", bounded=bounded))
        except PayloadError:
            pass
    return Body(Format.TEXT, decoded(body, charset))


def read_signed(
    body: bytes,
    content_type: str | None,
    *,
    json_field: str | None = None,
    parse: Parse | None = None,
    bounded: bool = True,
) -> Body:
    """Read a body by its bytes, in UTF-8. Raises PayloadError, whose message never contains the body.

    Valid JSON is JSON, an empty body is null; what looks like a form, multipart or XML is one; everything else is text.
    The declared type matters in one case: invalid JSON or XML that is declared as such is an error instead of text.
    """
    if parse == "text":
        return Body(Format.TEXT, decoded(body, UTF_8))
    try:
        payload = read_json(body, "the body", bounded=bounded)
    except NotJson:
        if parse == "json":
            raise
        found = _signed_structure(body, json_field, parse, media_type_of(content_type), bounded=bounded)
        if found is not None:
            return found
        if _is_json_type(media_type_of(content_type)):
            raise
        return Body(Format.TEXT, decoded(body, UTF_8))
    if parse in ("form", "multipart", "xml") and body:
        raise PayloadError(f"the body is JSON, and the source's parse: {parse} says that it is not")
    return Body(Format.JSON, payload)


def _signed_structure(
    body: bytes, json_field: str | None, parse: Parse | None, media_type: str, *, bounded: bool
) -> Body | None:
    """A form, multipart or XML by the bytes alone, or as `parse` says; None for text."""
    if parse == "form" or (parse is None and is_form(body)):
        return _form(body, UTF_8, json_field, bounded=bounded)
    boundary = boundary_of(body)
    if parse == "multipart" or (parse is None and boundary is not None):
        return _multipart(body, boundary, json_field, bounded=bounded)
    if parse != "xml" and not is_like_xml(body) and not _is_xml_type(media_type):
        return None
    try:
        return Body(Format.XML, read_xml(body), texts=True)
    except NotXml:
        if parse == "xml" or (_is_xml_type(media_type) and bounded):
            raise
    except PayloadError:  # earlier versions stored such a body as text
        if bounded:
            raise
    return None


def _structured(
    body: bytes,
    content_type: str | None,
    charset: str,
    json_field: str | None,
    parse: Parse | None,
    *,
    bounded: bool,
) -> Body:
    """XML or multipart, as the type or `parse` says."""
    if not body or body.isspace():
        return Body(Format.JSON, None)
    try:
        if parse == "xml" or (parse is None and _is_xml_type(media_type_of(content_type))):
            return Body(Format.XML, read_xml(body, charset), texts=True)
        return _multipart(body, boundary_in(content_type) or boundary_of(body), json_field, bounded=bounded)
    except PayloadError:
        if bounded or parse is not None:
            raise
        return Body(Format.TEXT, decoded(body, charset))  # earlier versions stored such a body as text


def _multipart(body: bytes, boundary: str | None, json_field: str | None, *, bounded: bool) -> Body:
    parts = read_parts(body, boundary)
    found = [value for name, value in parts if name == json_field]
    if len(found) == 1 and isinstance(found[0], bytes):
        return Body(Format.MULTIPART, read_json(found[0], "the JSON in the form", bounded=bounded))
    return Body(Format.MULTIPART, parts_as_mapping(parts), texts=True)


def _form(body: bytes, charset: str, json_field: str | None, *, bounded: bool) -> Body:
    fields = read_fields(body, charset)
    found = [value for name, value in fields if name == json_field]
    if len(found) == 1:  # a repeated field is a list, as any other
        return Body(Format.FORM, read_json(found[0], "the JSON in the form", charset=charset, bounded=bounded))
    return Body(Format.FORM, as_mapping(fields, charset), texts=True)


def media_type_of(content_type: str | None) -> str:
    """The type without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()


def _is_json_type(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _is_xml_type(media_type: str) -> bool:
    return media_type in ("application/xml", "text/xml") or media_type.endswith("+xml")


def usual_type(body: bytes) -> str:
    """The Content-Type that a sender would write for these bytes."""
    boundary = boundary_of(body)
    if boundary is not None:
        return f'{MULTIPART_TYPE}; boundary="{boundary}"'
    return _CONTENT_TYPES[Format.XML if is_like_xml(body) else Format.JSON]


Headers = tuple[tuple[str, str], ...]
_CONTENT_TYPES = {
    Format.JSON: "application/json",
    Format.FORM: FORM_TYPE,
    Format.XML: "application/xml",
    Format.TEXT: "text/plain; charset=utf-8",
}


def honest_headers(headers: Headers, declared: Sequence[str], format: Format, body: bytes) -> Headers:  # noqa: A002
    """The headers with a Content-Type that fits the bytes; the same object if it fits already.

    `declared` has all values of Content-Type in the headers.
    """
    honest = usual_type(body) if format is Format.MULTIPART else _CONTENT_TYPES[format]
    if not declared or (len(declared) == 1 and (declared[0] == honest or not _misleads(declared[0], format, body))):
        return headers
    kept = tuple(item for item in headers if item[0].lower() != "content-type")
    return (("Content-Type", honest), *kept)


def _misleads(declared: str, format: Format, body: bytes) -> bool:  # noqa: A002 - the field's word
    """Whether a reader that trusts the declared type would misread the bytes."""
    media_type = media_type_of(declared)
    if format is not Format.TEXT and not says_utf_8(declared):
        return True
    if format is Format.MULTIPART and media_type.startswith("multipart/"):
        return boundary_in(declared) != boundary_of(body)
    if media_type.startswith("multipart/"):
        return format is not Format.TEXT or not body.startswith(b"--")
    return media_type == FORM_TYPE and format is not Format.FORM
