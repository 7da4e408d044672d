"""Reads a field from its text in a condition, `order_by`, `dedupe` or `equals_field`."""

from router.domain.headers import dropped_header
from router.domain.nearest_word import did_you_mean
from router.rules.compile.scope import Scope
from router.rules.match.fields import AnyField, HeaderField, ItemField, ParamField, field
from router.rules.match.jsonpath import PathError
from router.rules.yaml.node_path import NodePath


def load_field(node_path: NodePath, text: str, scope: Scope, *, key: str | None = None) -> AnyField | None:
    """Compile the field. None after an error, which is reported at the given key, or else at the value."""
    fault, is_new, found = "", False, None
    try:
        found = field(text, scope.zone)
    except PathError as error:
        fault = str(error)
    else:
        if scope.in_element and not text.startswith("$"):
            fault = f'"{text}" is not a part of an element; inside elem, $ is the element: "$.{text}"'
        elif isinstance(found, HeaderField) and "_" in found.name:
            fault, is_new = dropped_header(text.partition(".")[2]), True
        elif isinstance(found, ItemField) and not scope.has_item:
            fault = (
                f'"{text}" is a field of a rule with for_each: for_each: "$.list[*]"; below elem, $ is the item: '
                f'"${found.below}"'
            )
        elif isinstance(found, ParamField) and found.name not in scope.params:
            fault = _unknown_param(found.name, scope)
    if fault:
        report = node_path.error_unless_recorded if is_new else node_path.error
        report_key = node_path.key_error_unless_recorded if is_new else node_path.key_error
        report(fault) if key is None else report_key(key, fault)
    elif not scope.in_element and found is not None and is_redacted(found, scope):
        node_path.note(
            f'the sources of this rule redact {text}, so it is "[redacted]" here, or missing; use another field'
        )
    return None if fault and not is_new else found


def is_redacted(found: AnyField, scope: Scope) -> bool:
    """Whether all sources of a rule redact this very field."""
    text = f"headers.{found.name}" if isinstance(found, HeaderField) else found.text
    return text in scope.redacted


def _unknown_param(name: str, scope: Scope) -> str:
    if not scope.params:
        return f"no path of the rule's sources has {{{name}}}; write it there: path: /hooks/{{{name}}}"
    return f"no path of the rule's sources has {{{name}}}{did_you_mean(name, scope.params)}"
