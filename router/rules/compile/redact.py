"""Compiles `redact` of a source."""

from collections.abc import Iterable
from typing import Any

from router.payload.redact.patterns import Pattern
from router.rules.compile.field_key import load_field
from router.rules.compile.scope import Scope
from router.rules.match.fields import AnyField, HeaderField, ParamField, PayloadField, QueryField
from router.rules.match.jsonpath import PathError
from router.rules.match.jsonpath.selected import FindPlaces, compile_places
from router.rules.redaction import Redaction
from router.rules.yaml.node_path import NodePath

MOST_FIELDS = 1_000  #: of a source; each path is followed in each of its events
_WHOLE = "$"


def load_redact(node_path: NodePath, written: Any, scope: Scope, parse: str | None) -> Redaction | None:
    """Compile what a source redacts. None if it redacts nothing, and after an error. `node_path` is the value's."""
    if written is None and not node_path.is_blank:
        return None
    if not isinstance(written, list) or not written:
        node_path.error(
            f"expected a list of fields such as [$.card.number, headers.X-Token], found {node_path.found()}"
        )
        return None
    if len(written) > MOST_FIELDS:
        node_path.error(
            f"expected at most {MOST_FIELDS:,} fields, found {len(written):,}; a path with [*] or .. stands for many"
        )
        return None
    found = [_field(item, scope, parse) for item in node_path.items()]
    fields = [field for field in found if field is not None]
    if len(fields) < len(found):
        return None
    return redaction_of(fields)


def redaction_of(fields: Iterable[AnyField]) -> Redaction:
    """The redaction of these fields."""
    fields = list(fields)
    paths: dict[str, FindPlaces] = {}
    patterns: list[Pattern] = []
    for field in fields:
        if isinstance(field, PayloadField):
            paths[field.text], pattern = compile_places(field.text)
            patterns.append(pattern)
    return Redaction(
        headers=frozenset(field.name for field in fields if isinstance(field, HeaderField)),
        query=frozenset(field.name for field in fields if isinstance(field, QueryField)),
        params=frozenset(field.name for field in fields if isinstance(field, ParamField)),
        paths=paths,
        reach=None if any(not pattern for pattern in patterns) else tuple(patterns),
    )


def _field(node_path: NodePath, scope: Scope, parse: str | None) -> AnyField | None:
    text = node_path.expect_text("a field such as $.card.number or headers.X-Token")
    found = load_field(node_path, text, scope) if text is not None else None
    if text is None or found is None:
        return None
    fault = _fault(found, parse)
    if fault:
        node_path.error(fault)
    return None if fault else found


def _fault(field: AnyField, parse: str | None) -> str:
    """Why a field can't be redacted."""
    if isinstance(field, HeaderField):
        if field.name == "content-type":
            return "Content-Type can't be redacted: it says how the stored body is read"
        return ""
    if isinstance(field, PayloadField):
        if parse == "text" and field.text != _WHOLE:
            return f"the source's parse: text makes the payload one text, without parts; write {_WHOLE} for all of it"
        try:
            compile_places(field.text)
        except PathError as error:
            return str(error)
        return ""
    if isinstance(field, QueryField | ParamField):
        return ""
    return f"{field.text} can't be redacted; name headers.…, query.…, params.… or a path of the payload"
