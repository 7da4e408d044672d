"""Reads nodes into pydantic models; each validation error is reported at its place in the file."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.rules.yaml.node_path import NodePath, unknown_key
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode

M = TypeVar("M", bound=BaseModel)

MAX_UNKNOWN = 100  #: unknown keys of one mapping that are reported one by one
MAX_DETAILS = 1_000  #: errors of one mapping; above, only their number is reported
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "mapping_type": "a mapping",
}


def read(node_path: NodePath, model: type[M], values: dict[str, Any] | None = None) -> M | None:
    """Read a mapping into a model; None after errors, all of which are in the report.

    `values` replaces the values of the node, to merge in defaults.
    """
    if values is None:
        if not isinstance(node_path.node, MappingNode):
            cure = node_path.space_hint() or f"; keys: {', '.join(keys(model))}"
            node_path.error(f"expected a mapping, found {node_path.found()}{cure}")
            return None
        values = node_path.data
    values = _without_most_unknown(node_path, model, values)
    blank = {key: None for key, below in node_path.entries() if below.is_blank and _is_typed(model, key)}
    for key in blank:
        node_path.at(key).error(f"expected a value, found {node_path.at(key).found()}; give it one, or remove the key")
    try:
        found = model.model_validate(values)
    except ValidationError as error:
        if error.error_count() > MAX_DETAILS:
            node_path.error(
                f"{error.error_count():,} values in here are wrong, for example of another type than expected"
            )
            return None
        for detail in error.errors(include_url=False):
            if not (detail["loc"] and detail["loc"][0] in blank and len(detail["loc"]) == 1):
                _report(node_path, model, detail)
        return None
    return None if blank else found


def _without_most_unknown(node_path: NodePath, model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """The values with only the first unknown keys: pydantic takes about a kilobyte for each."""
    known = set(keys(model))
    left_out = [key for key in values if key not in known][MAX_UNKNOWN:]
    if not left_out:
        return values
    node_path.key_error(left_out[0], f"{len(left_out):,} more unknown keys here are not shown; fix the others first")
    unshown = set(left_out)
    return {key: value for key, value in values.items() if key not in unshown}


def _is_typed(model: type[BaseModel], key: str) -> bool:
    """Whether the model knows the type of the key's value; other values are checked later."""
    field = next((f for name, f in model.model_fields.items() if key == (f.alias or name)), None)
    return field is not None and field.annotation is not Any


def _report(node_path: NodePath, model: type[BaseModel], detail: ErrorDetails) -> None:
    place, kind = detail["loc"], detail["type"]
    if kind == "missing":
        node_path.at(*place[:-1]).error(f'missing "{place[-1]}"')
        return
    if kind == "extra_forbidden":
        key = str(place[-1])
        parent = node_path.at(*place[:-1])
        known = keys(model) if len(place) == 1 else _inner_keys(model, place)
        parent.key_error(key, unknown_key(key, known))
        return
    below = node_path.at(*place)
    below.error(_message(detail, below))


def keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner_keys(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """The keys of the model at a place inside a model, as far as the types show."""
    for step in place[:-1]:
        field = model.model_fields.get(str(step))
        if field is None:
            continue
        inner = [a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(a, type)]
        models = [a for a in inner if issubclass(a, BaseModel)]
        if not models:
            return []
        model = models[0]
    return keys(model)


def _message(detail: ErrorDetails, below: NodePath) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {below.found()}{_cure(kind, below.node)}"
    if kind in ("literal_error", "enum"):
        return f"expected {context.get('expected')}, found {below.found()}"
    if kind == "greater_than_equal":
        return f"expected at least {context.get('ge')}, found {below.found()}"
    if kind == "less_than_equal":
        return f"expected at most {context.get('le')}, found {below.found()}"
    if kind == "greater_than":
        return f"expected more than {context.get('gt')}, found {below.found()}"
    if kind in ("too_short", "string_too_short"):
        return f"expected at least one, found {below.found()}"
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _cure(kind: str, node: Node) -> str:
    if not isinstance(node, ScalarNode) or node.value is None:
        return ""
    if kind == "string_type":
        return "; quote it"
    if kind in ("int_type", "float_type", "bool_type") and isinstance(node.value, str):
        return "; remove the quotes" if node.text.isdigit() or node.text in ("true", "false") else ""
    return ""
