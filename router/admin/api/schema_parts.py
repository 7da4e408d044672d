"""Parts of the API's JSON schemas. Objects are closed: they have only the listed keys."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NUMBER_OR_NULL: Schema = {"type": ["integer", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
MAP: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """A reference to a shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """A list of items."""
    return {"type": "array", "items": items}


def closed_object(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def page_of(items: Schema) -> Schema:
    """One page of a list."""
    return closed_object({"items": array(items), "next": TEXT_OR_NULL})


def searched_page_of(items: Schema) -> Schema:
    """One page of a list that can be searched by header and payload."""
    scanned = {"type": "integer", "minimum": 0, "description": "Rows that were looked at for `header` and `where`."}
    hidden = {**array(TEXT), "description": "Sources that were not searched: the token may not see their payloads."}
    return closed_object({"items": array(items), "next": TEXT_OR_NULL, "scanned": scanned}, {"hidden_sources": hidden})


def times(name: str, *, null: bool = False) -> dict[str, Schema]:
    """A time under two keys: as ISO 8601, and in ms."""
    return {name: TIME_OR_NULL if null else TIME, f"{name}_ms": NUMBER_OR_NULL if null else NUMBER}


HIDDEN: Schema = {"const": True, "description": "Texts of the payload are [hidden], as its source demands."}
NOT_JUDGED = closed_object({"rule": TEXT, "error": TEXT})  #: a rule that could not be judged
