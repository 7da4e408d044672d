"""Small parts that the schemas are built from, and the schema of a pydantic model."""

import re
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}


def ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def named(schema: Schema, name: re.Pattern[str]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": schema,
        "propertyNames": {"pattern": whole(name)},
        "minProperties": 1,
    }


def whole(pattern: re.Pattern[str]) -> str:
    return f"^({pattern.pattern})$"


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def model_schema(model: type[BaseModel]) -> Schema:
    """A model's schema with inner models inlined, and without what only Python needs."""
    schema = model.model_json_schema(by_alias=True)
    made = _plain(schema, schema.pop("$defs", {}))
    assert isinstance(made, dict)
    return made


def _plain(value: Any, defs: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_plain(item, defs) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _plain(defs[str(value["$ref"]).rpartition("/")[2]], defs)
    options = [option for option in value.get("anyOf", ()) if option != {"type": "null"}]
    if "anyOf" in value and len(options) == 1:  # None in a model means an absent key, not null
        return _plain(
            {**{key: inner for key, inner in value.items() if key != "anyOf"}, **_plain(options[0], defs)}, defs
        )
    default = value.get("default")
    if default is None or isinstance(default, dict) or ("pattern" in value and not isinstance(default, str)):
        value = {key: inner for key, inner in value.items() if key != "default"}  # the file spells it differently
    return {
        key: {name: _plain(inner, defs) for name, inner in part.items()} if key == "properties" else _plain(part, defs)
        for key, part in value.items()
        if not (key == "title" and isinstance(part, str))
    }
