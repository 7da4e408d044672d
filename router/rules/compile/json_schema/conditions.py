"""The JSON Schema of `match`: fields, tests, operators and combinators."""

import re
from collections.abc import Mapping

from router.domain.headers import REQUEST_HEADER
from router.rules.compile.json_schema.parts import TEXT, Schema, list_of, named, ref
from router.rules.compile.match import COMBINATORS
from router.rules.match.fields import PLAIN
from router.rules.match.operators import OPERATORS

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_NUMBER: Schema = {"type": "number"}
_OPERANDS: dict[str, Schema] = {
    "equals": {},
    "in": {"type": "array", "minItems": 1},
    "contains": {},
    "gt": _NUMBER,
    "gte": _NUMBER,
    "lt": _NUMBER,
    "lte": _NUMBER,
    "length": {
        "anyOf": [
            _NUMBER,
            {
                "type": "object",
                "properties": dict.fromkeys(("gt", "gte", "lt", "lte", "equals"), _NUMBER),
                "additionalProperties": False,
                "minProperties": 1,
            },
        ]
    },
}


def _combinators(of: str) -> Schema:
    listed: Schema = {"type": "array", "items": ref(of), "minItems": 1}
    return {name: ref(of) if name == "not" else listed for name in COMBINATORS}


def match_definitions() -> dict[str, Schema]:
    on_text = {name: ref("text-test") for name in PLAIN}
    headers, query = named(ref("text-test"), REQUEST_HEADER), named(ref("text-test"), re.compile(".+"))
    return {
        "match": {
            "type": "object",
            "description": "Fields and what they must be; every entry must hold.",
            "properties": {**on_text, "headers": headers, "query": query, **_combinators("match")},
            "patternProperties": {
                r"^\$": ref("test"),
                rf"^headers\.{REQUEST_HEADER.pattern}$": ref("text-test"),
                r"^query\..": ref("text-test"),
            },
            "additionalProperties": False,
        },
        "element": {
            "type": "object",
            "description": "A condition in which $ is the list element.",
            "properties": _combinators("element"),
            "patternProperties": {r"^\$": ref("test")},
            "additionalProperties": False,
            "minProperties": 1,
        },
        **_tests("", _SCALAR, {}),
        # Headers, query parameters and the like are always text.
        **_tests("text-", {"type": "string"}, {"equals": {"type": "string"}, "in": list_of({"type": "string"})}),
    }


def _tests(prefix: str, scalar: Schema, operands: Mapping[str, Schema]) -> dict[str, Schema]:
    test, operators = ref(f"{prefix}test"), ref(f"{prefix}operators")
    return {
        f"{prefix}test": {
            "description": "A value, a list of alternatives, or operators that one value has to satisfy.",
            "anyOf": [scalar, list_of({"anyOf": [scalar, operators]}), operators],
        },
        f"{prefix}operators": {
            "type": "object",
            "properties": {
                **{name: operands.get(name, _OPERANDS.get(name, TEXT)) for name in OPERATORS},
                "exists": {"type": "boolean"},
                "ignore_case": {"type": "boolean"},
                "every": test,
                "not": test,
                "elem": ref("element"),
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    }
