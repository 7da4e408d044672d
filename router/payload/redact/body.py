"""Replaces values in a body of any format, as the source's rules read it."""

from dataclasses import dataclass

from router.domain.errors import PayloadError
from router.payload.body import Body, Format
from router.payload.charset import UTF_8, charset_of
from router.payload.json_text import read_json, without_bom
from router.payload.multipart import boundary_in, boundary_of
from router.payload.redact.chosen import MARK, Chosen
from router.payload.redact.form import redact_form, redact_json_field
from router.payload.redact.json_text import redact_json
from router.payload.redact.multipart import redact_json_part, redact_multipart
from router.payload.redact.patterns import Reach
from router.payload.redact.xml_text import redact_xml
from router.payload.xml_text import is_like_xml

_NOTHING_FOUND = "so the values that the source redacts can't be found in it"


@dataclass(frozen=True, slots=True)
class Sent:
    """A body as it came."""

    body: bytes
    content_type: str | None
    read: Body  #: what it was read as
    json_field: str | None  #: the name of the form field that holds JSON
    signed: bool  #: whether the bytes alone decided the format


def redact_body(sent: Sent, chosen: Chosen, reach: Reach) -> bytes:
    """The body with the chosen values replaced. Raises PayloadError when that is impossible.

    `reach` is what the paths could select in any payload.
    """
    body, read = sent.body, sent.read
    if read.payload is None or not body:
        return body
    if read.format is Format.TEXT:
        return MARK.encode() if chosen is None else body
    charset = UTF_8 if sent.signed else charset_of(sent.content_type)
    if read.format is Format.JSON:
        return redact_json(body, charset, chosen, reach)
    if read.format is Format.XML:
        return redact_xml(body, charset, read.payload, chosen)
    if read.format is Format.FORM:
        if read.texts:
            return redact_form(body, charset, chosen)
        return redact_json_field(body, charset, sent.json_field or "", chosen, reach)
    boundary = (None if sent.signed else boundary_in(sent.content_type)) or boundary_of(body) or ""
    if read.texts:
        return redact_multipart(body, boundary, chosen)
    return redact_json_part(body, boundary, sent.json_field or "", chosen, reach)


def check_structure(sent: Sent) -> None:
    """Refuse a body whose values can't be found: text, and a body that looks like another format than it was read as.

    A path would select nothing there, and the value would be stored. Raises PayloadError, without the body's text.
    """
    read, field = sent.read, sent.json_field
    if isinstance(read.payload, str):
        if read.payload:
            raise PayloadError(f"the body is text, {_NOTHING_FOUND}; send it as JSON, a form or XML")
    elif read.format is Format.FORM and read.texts and _is_like_another(sent.body):
        raise PayloadError(
            f"the body is declared as a form, and is not one, {_NOTHING_FOUND}; correct its Content-Type"
        )
    elif read.texts and read.format is not Format.XML and field is not None and field in read.payload:
        raise PayloadError(f"the form has the field that holds JSON twice, or as a file, {_NOTHING_FOUND}")


def _is_like_another(body: bytes) -> bool:
    """Whether a form looks like JSON or XML."""
    start = without_bom(body).lstrip()[:1]
    return start == b"{" or is_like_xml(body) or (start in (b"[", b'"') and _is_json(body))


def _is_json(body: bytes) -> bool:
    try:
        read_json(body, "the body")
    except PayloadError:
        return False
    return True
