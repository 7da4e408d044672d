"""The JSON Schema of `match`: fields, tests, operators and combinators."""

import re
from collections.abc import Iterable, Mapping

from router.domain.headers import REQUEST_HEADER
from router.rules.compile.json_schema.parts import TEXT, Schema, list_of, named, ref
from router.rules.compile.match import COMBINATORS
from router.rules.match.fields import PLAIN, TIMES
from router.rules.match.operators import OPERATORS, ORDERED
from router.rules.match.time_fields import WEEKDAYS
from router.rules.path_pattern import PART_NAME

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_NUMBER: Schema = {"type": "number"}
_BOUND: Schema = {
    "anyOf": [_NUMBER, {**TEXT, "not": {"pattern": r"^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"}}]
}
_ENTRIES: Schema = {"anyOf": [TEXT, list_of(TEXT)]}
_AGE: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$"}
_OPERANDS: dict[str, Schema] = {
    "equals": {},
    "in": {"type": "array", "minItems": 1},
    "contains": {},
    **dict.fromkeys(("prefix", "suffix", "regex", "glob", "cidr"), _ENTRIES),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _BOUND),
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
    """The definitions that conditions refer to; `match` is the one for a rule."""
    return {
        "match": _match(),
        "element": {
            "type": "object",
            "description": "A condition in which $ is the list element.",
            "properties": _combinators("element"),
            "patternProperties": {r"^\$": ref("test")},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "age": {
            "type": "object",
            "description": "How old the time in the value was when the event was received.",
            "properties": dict.fromkeys(("gt", "gte", "lt", "lte"), _AGE),
            "additionalProperties": False,
            "minProperties": 1,
        },
        "time": _of_time({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}, "time", ORDERED),
        "weekday": _of_time({"enum": list(WEEKDAYS)}, "weekday", ()),
        **_tests("", _SCALAR, {}),
        # Headers, query parameters and the like are always text.
        **_tests("text-", {"type": "string"}, {"equals": {"type": "string"}, "in": list_of({"type": "string"})}),
    }


def _match() -> Schema:
    return {
        "type": "object",
        "description": "Fields and their tests; every entry must hold.",
        "properties": {
            **{name: ref("text-test") for name in PLAIN},
            **{name: ref(name) for name in TIMES},
            "headers": named(ref("text-test"), REQUEST_HEADER),
            "query": named(ref("text-test"), re.compile(".+")),
            "params": named(ref("text-test"), PART_NAME),
            **_combinators("match"),
        },
        "patternProperties": {
            r"^\$": ref("test"),
            rf"^headers\.{REQUEST_HEADER.pattern}$": ref("text-test"),
            r"^query\..": ref("text-test"),
            r"^item($|[.\[])": ref("test"),
            rf"^params\.{PART_NAME.pattern}$": ref("text-test"),
        },
        "additionalProperties": False,
    }


def _of_time(value: Schema, name: str, ordered: Iterable[str]) -> Schema:
    """The values of `time` or `weekday`: a value, a list, or a map of few operators."""
    test = ref(name)
    operators = {"equals": value, "in": list_of(value), **dict.fromkeys(sorted(ordered), value), "not": test}
    return {
        "anyOf": [
            value,
            list_of(test),
            {"type": "object", "properties": operators, "additionalProperties": False, "minProperties": 1},
        ]
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
                "equals_field": {**TEXT, "description": "A field: some value of it equals the value."},
                "age": ref("age"),
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    }
