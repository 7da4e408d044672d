"""A stored event as a rule test, as a curl command, or as its body. Credentials and signatures are left out."""

import base64
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_plus

import orjson

from router.domain.credentials import holds_credential, holds_signature
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.operate.json_times import iso
from router.payload.form import MEDIA_TYPE as FORM_TYPE
from router.rules.dry_run.preview import Preview, preview
from router.rules.match.values import same
from router.rules.parsing import parse_event
from router.rules.path_pattern import encoded
from router.rules.ruleset import Ruleset
from router.rules.source import Source
from router.rules.yaml.document import read
from router.rules.yaml.nodes import data
from router.rules.yaml.yaml_problem import DocumentError

#: These belong to the connection, or the next sender computes them itself.
_CONNECTION = frozenset(
    ["connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]
)
LARGEST_INLINE = 256 * 1024  #: bytes of a body that is written as YAML; a larger one is one line of text


@dataclass(frozen=True, slots=True)
class Exported:
    """The text, and notes for the operator."""

    text: str
    notes: tuple[str, ...] = ()


def without_secrets(event: Event) -> tuple[Event, tuple[str, ...]]:
    """The event without headers and query parameters that may hold a credential or a signature, and the names of
    these."""
    kept = tuple(item for item in event.headers if not _is_secret(item[0]) and item[0].lower() not in _CONNECTION)
    parts = [part for part in event.query.split("&") if part]
    query = [part for part in parts if not _is_secret(_parameter(part))]
    left_out = [f"header {name}" for name, _ in event.headers if _is_secret(name)]
    left_out += [f"query parameter {_parameter(part)}" for part in parts if _is_secret(_parameter(part))]
    return replace(event, headers=kept, query="&".join(query)), tuple(dict.fromkeys(left_out))


def as_case(event: Event, ruleset: Ruleset) -> Exported:
    """A rule test that expects what these rules say of the event. Raises PayloadError if they can't parse it."""
    plain, left_out = without_secrets(event)
    source = ruleset.sources.get(event.source)
    plain = _typed(plain)
    before, shown = preview(ruleset, event), preview(ruleset, plain)
    case: dict[str, Any] = {
        "name": f"{event.source} event {event.id}",
        "source": event.source,
        "method": event.method,
        "ip": event.ip,
        "params": dict(source.pattern.params(event.path) or {}) if source is not None and source.pattern else {},
        "received_at": iso(event.received_at),
        "headers": _grouped(plain.headers),
        "query": _grouped([_pair(part) for part in plain.query.split("&") if part]),
        **_body(plain, source),
        "expect": _expected(shown),
    }
    case = {key: value for key, value in case.items() if value not in ({}, None) or key in ("payload", "expect")}
    notes = [f"left out: {', '.join(left_out)}"] if left_out else []
    if before.matched != shown.matched:
        notes.append("the rules read what was left out, so they may match differently without it")
    if any(delivery.error is not None for delivery in shown.deliveries):
        notes.append("a delivery would be dead at once; remove its error from the case when the rules are fixed")
    return Exported(_yaml(case), tuple(notes))


def as_curl(event: Event, to: str) -> Exported:
    """A shell command that posts the event. `to` is the daemon's URL.

    A terminal reads control characters in a pasted text as keys, so none is written: such parts are base64.
    """
    plain, left_out = without_secrets(event)
    url = to.rstrip("/") + encoded(event.path) + (f"?{plain.query}" if plain.query else "")
    # Without --globoff curl reads brackets in the URL as a range.
    words = ["curl", *(["--globoff"] if set(url) & set("[]{}") else []), "-X", _word(event.method), _word(url)]
    for name, value in plain.headers:
        # A semicolon instead of the colon sends an empty header.
        words += ["-H", _word(f"{name}: {value}" if value else f"{name};")]
    begin = ""
    text = _text_of(event.body)
    if event.body and not any(name.lower() == "content-type" for name, _ in plain.headers):
        words += ["-H", "'Content-Type:'"]  # otherwise curl would send the type of a form
    if text is not None and _is_plain(text) and event.body:
        words += ["--data-raw", shlex.quote(text)]
    elif event.body:
        begin = f"printf %s {base64.b64encode(event.body).decode()} | base64 -d | "
        words += ["--data-binary", "@-"]
    notes = [f"left out: {', '.join(left_out)}"] if left_out else []
    if any(holds_signature(name.removeprefix("header ")) for name in left_out):
        notes.append("a source that verifies its senders refuses it; webhook-router send signs a payload again")
    return Exported(begin + " ".join(words) + "\n", tuple(notes))


def _word(text: str) -> str:
    """One word for a shell. With control characters it is an expression that produces them."""
    if _is_plain(text) and "\n" not in text:
        return shlex.quote(text)
    return f'"$(printf %s {base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()} | base64 -d)"'


def _is_plain(text: str) -> bool:
    """Whether every terminal and shell reads the quoted text unchanged."""
    # fish reads a backslash before a quote as an escape, even in single quotes.
    if "\\" in text and ("'" in text or text.endswith("\\")):
        return False
    return all(character.isprintable() or character == "\n" for character in text)


def _expected(shown: Preview) -> dict[str, Any]:
    dead = [
        {"rule": one.rule, "action": one.action, "error": one.error}
        for one in shown.deliveries
        if one.error is not None
    ]
    return {"rules": list(shown.matched), **({"deliveries": dead} if dead else {})}


def _is_secret(name: str) -> bool:
    return holds_credential(name) or holds_signature(name)


def _parameter(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return unquote_plus(name), unquote_plus(value)


def _typed(event: Event) -> Event:
    """The event with a Content-Type: a case without one is read as JSON."""
    if "content-type" in event.named.by_name:
        return event
    return replace(event, headers=(*event.headers, ("Content-Type", "")))


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Values by name, with a list for a repeated name. Names that differ only in case stay separate."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _body(event: Event, source: Source | None) -> dict[str, Any]:
    """The body as a payload if that is equivalent, otherwise unchanged."""
    text = _text_of(event.body)
    if text is None:
        return {"body_base64": base64.b64encode(event.body).decode()}
    payload = _payload_of(event, source) if len(event.body) <= LARGEST_INLINE else _NONE
    return {"body": text} if payload is _NONE else {"payload": payload}


_NONE = object()


def _payload_of(event: Event, source: Source | None) -> Any:
    """The JSON value of the body, if the rules read the same after it is written to a case and read again."""
    content_type = event.named.by_name.get("content-type", ("",))[0]
    if FORM_TYPE in content_type:
        return _NONE
    try:
        value = orjson.loads(event.body)
        read_back = data(read(_json(value))[0])
        if isinstance(read_back, str) or (isinstance(read_back, dict) and list(read_back) == ["file"]):
            return _NONE  # a case would read these as a text, and as the name of a file
        parsed = parse_event(replace(event, body=orjson.dumps(read_back)), source).payload
        return value if same(parsed, parse_event(event, source).payload) else _NONE
    except (orjson.JSONDecodeError, TypeError, DocumentError, PayloadError):
        return _NONE


def _text_of(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _json(value: Any) -> str:
    """JSON that is YAML too: a character that YAML forbids is an escape."""
    written = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in written)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _yaml(case: dict[str, Any]) -> str:
    """A case as YAML. Values are written as JSON, which is YAML, so quoting needs no further rules."""
    lines: list[str] = []
    for key, value in case.items():
        written = _json(value).replace("\n", "\n    ")
        lines.append(f"{'- ' if not lines else '  '}{key}: {written}")
    return "\n".join(lines) + "\n"
