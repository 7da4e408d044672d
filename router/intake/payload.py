"""From a body to its payload: JSON, a form, JSON in a form field, or text."""

import codecs
import re
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

from router.errors import PayloadError
from router.model import Event, ParsedEvent
from router.rules.ruleset import Source

MAX_DEPTH = 200  #: of JSON; Python code that walks a payload must never run out of stack
MAX_FIELDS = 10_000  #: of a form; real ones have some dozens

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9_.:-]+)', re.IGNORECASE)
# What senders use. Others are no charsets, take quadratic time (punycode), or give half surrogate pairs (utf-7).
_TEXT_CODEC = re.compile(
    r"utf-8|utf-(16|32)(-[bl]e)?|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|shift_jis\w*|euc_\w+|gbk|gb2312|gb18030|big5\w*"
)
_FORM = "application/x-www-form-urlencoded"


def parse_event(event: Event, source: Source | None) -> ParsedEvent:
    """Parse an event as its source says. Raises PayloadError."""
    content_type = next((value for name, value in event.headers if name.lower() == "content-type"), None)
    payload, form = parse_payload(
        event.body,
        content_type,
        json_field=source.json_field if source else None,
        parse=source.parse if source else None,
    )
    return ParsedEvent(event, payload, form)


def parse_payload(
    body: bytes, content_type: str | None, *, json_field: str | None = None, parse: Literal["json"] | None = None
) -> tuple[Any, bool]:
    """The payload, and whether it is a form. Raises PayloadError, whose text never repeats the body.

    JSON by content type (application/json or …+json), or when none is given and it parses; a form as a mapping, in
    which a repeated name has a list; everything else is text, in which bytes that its charset doesn't know are
    replaced (the raw body stays as it is).
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if parse == "json" or media_type == "application/json" or media_type.endswith("+json"):
        return _json(body, "the body"), False
    if media_type == _FORM:
        return _form(_text(body, content_type), json_field)
    if not media_type:
        try:
            return _json(body, "the body"), False
        except PayloadError:
            return _text(body, None), False
    return _text(body, content_type), False


def _json(data: bytes | str, what: str) -> Any:
    if not data:
        raise PayloadError(f"{what} is empty, JSON was expected")
    if data[:3] in (b"\xef\xbb\xbf", "\ufeff"):
        raise PayloadError(f"{what} begins with a byte order mark, which JSON does not allow")
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise PayloadError(f"{what} is not valid JSON: line {error.lineno}, column {error.colno}") from None
    if nested_deeper(data, payload, MAX_DEPTH):
        raise PayloadError(f"{what} is nested deeper than {MAX_DEPTH} levels")
    return payload


def nested_deeper(data: bytes | str, payload: Any, limit: int) -> bool:
    """Whether JSON, as text and as read, is nested deeper than that; counting brackets is enough for most."""
    opened = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
    return opened > limit and _is_deeper(payload, limit)


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


def _form(text: str, json_field: str | None) -> tuple[Any, bool]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise PayloadError(f"the form has more than {MAX_FIELDS} fields") from None
    form: dict[str, Any] = {}
    for name, value in pairs:
        if name not in form:
            form[name] = value
        elif isinstance(form[name], list):
            form[name].append(value)
        else:
            form[name] = [form[name], value]
    if json_field is not None and isinstance(form.get(json_field), str):
        return _json(form[json_field], "the JSON in the form"), False
    return form, True


def _text(body: bytes, content_type: str | None) -> str:
    found = _CHARSET.search(content_type or "")
    try:
        name = codecs.lookup(found[1]).name if found else "utf-8"
    except (LookupError, ValueError):
        name = ""
    if not _TEXT_CODEC.fullmatch(name):
        name = "utf-8"
    return body.decode(name, errors="replace")
