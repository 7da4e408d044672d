"""The JSON Schema of a rules file, made from the models that read it, so that editors complete and check rules.yaml.

It knows keys, types and the words of the language; what it can't know (undefined names, paths, templates) `check` does.
Dialect: JSON Schema draft 7, which the YAML servers of editors speak.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from router.domain.events import UNMATCHED
from router.domain.header_names import REQUEST_HEADER
from router.domain.outcomes import Cause
from router.domain.secrets import SecretRef
from router.plugins.handshake import HandshakeKind
from router.plugins.registries import Registries
from router.plugins.scheme import Scheme
from router.rules.compile.loader import SECRET_NAME, TARGET_NAME
from router.rules.compile.match import COMBINATORS
from router.rules.compile.retry_on import EVERY_CAUSE, on_schema
from router.rules.compile.rules import ACTION_NAME
from router.rules.compile.sources import METHOD, SOURCE_NAME
from router.rules.match.fields import PLAIN
from router.rules.match.operators import OPERATORS
from router.rules.yaml.schema import (
    DedupeOptions,
    DefaultsOptions,
    RespondOptions,
    RetryOptions,
    RuleOptions,
    SourceOptions,
    TargetOptions,
)

Schema = dict[str, Any]

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_NUMBER: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string", "minLength": 1}
_FIELD: Schema = {"type": "string", "pattern": r"^(\$|(source|method|path|ip)$|(headers|query)\..)"}
_RULE_NAME: Schema = {"type": "string", "pattern": rf"^(?!{UNMATCHED}$)[^/\s]([^/]*[^/\s])?$", "maxLength": 128}
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


def json_schema(registries: Registries) -> Schema:
    """The schema, with the given actions and verification schemes."""
    defs: dict[str, Schema] = {**_match_defs(), "retry": _retry(EVERY_CAUSE)}
    defs |= {f"retry_{name}": _retry(found.causes) for name, found in registries.actions.items()}
    defs["retry_target"] = _retry(registries.target_causes)
    source = _model(SourceOptions)
    source["properties"] |= {
        "verify": _schemes(registries.schemes),
        "handshake": _schemes(registries.handshakes),
        "path": {**source["properties"]["path"], "pattern": r"^/(?!-/)[!-~]*$"},
        "methods": {**source["properties"]["methods"], "items": {"type": "string", "pattern": _whole(METHOD)}},
        "dedupe": {"anyOf": [_FIELD, {"const": "none"}, _dedupe()]},
        "respond": {"anyOf": [_respond(), {"const": "none"}]},
    }
    defaults = _model(DefaultsOptions)
    defaults["properties"]["retry"] = _ref("retry")
    target = _model(TargetOptions)
    target["properties"]["retry"] = _ref("retry_target")
    rule = _model(RuleOptions)
    rule["properties"] |= {
        "name": {**rule["properties"]["name"], **_RULE_NAME},
        "source": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
        "match": _ref("match"),
        "respond": _respond(),
        "actions": _ref("actions"),
    }
    defs["actions"] = {"type": "array", "items": {"anyOf": _actions(registries)}, "minItems": 1}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Rules of webhook-router",
        "type": "object",
        "properties": {
            "version": {"const": 1},
            "secrets": _named(_model(SecretRef), SECRET_NAME),
            "sources": _named(source, SOURCE_NAME),
            "targets": _named(target, TARGET_NAME),
            "defaults": defaults,
            "rules": {"type": "array", "items": rule, "minItems": 1},
            "unmatched": _ref("actions"),
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "required": ["sources"],
        "anyOf": [{"required": ["rules"]}, {"required": ["unmatched"]}],
        "definitions": defs,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _named(schema: Schema, name: re.Pattern[str]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": schema,
        "propertyNames": {"pattern": _whole(name)},
        "minProperties": 1,
    }


def _whole(pattern: re.Pattern[str]) -> str:
    return f"^({pattern.pattern})$"


def _respond() -> Schema:
    return {**_model(RespondOptions), "not": {"required": ["body", "json"]}}


def _dedupe() -> Schema:
    schema = _model(DedupeOptions)
    schema["properties"]["key"] |= _FIELD
    return schema


def _model(model: type[BaseModel]) -> Schema:
    """A model's schema with the schemas of the models in it put in place, and without what only Python needs."""
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
    if "anyOf" in value and len(options) == 1:  # null is Python's word for a key that is left out, not the file's
        return _plain(
            {**{key: inner for key, inner in value.items() if key != "anyOf"}, **_plain(options[0], defs)}, defs
        )
    default = value.get("default")
    if default is None or isinstance(default, dict) or ("pattern" in value and not isinstance(default, str)):
        value = {key: inner for key, inner in value.items() if key != "default"}  # not as the file would have it
    return {
        key: {name: _plain(inner, defs) for name, inner in part.items()} if key == "properties" else _plain(part, defs)
        for key, part in value.items()
        if not (key == "title" and isinstance(part, str))
    }


def _retry(causes: Sequence[Cause]) -> Schema:
    """A `retry` for actions that fail by these causes."""
    schema = _model(RetryOptions)
    schema["properties"]["on"] |= on_schema(causes)
    return schema


def _schemes(plugins: Mapping[str, Scheme] | Mapping[str, HandshakeKind]) -> Schema:
    """`NAME` for those that need no settings, or `{scheme: NAME, …}`."""
    schemes: list[Schema] = [{"const": "none"}]
    for name, scheme in plugins.items():
        schema = _model(scheme.Options)
        schema["properties"] = {"scheme": {"const": name}, **schema.get("properties", {})}
        schema["required"] = ["scheme", *schema.get("required", ())]
        schemes.append(schema)
        if schema["required"] == ["scheme"] and name != "none":
            schemes.append({"const": name})
    return {"anyOf": schemes}


def _actions(registries: Registries) -> list[Schema]:
    """One alternative for each type: its key, with the long or a short form, and what every action may have."""
    shorts: dict[type, Schema] = {str: _TEXT, list: {"type": "array", "minItems": 1}}
    return [
        {
            "type": "object",
            "properties": {
                name: {"anyOf": [_model(found.options), *(shorts[value] for value in found.short_forms)]},
                "name": {
                    "type": "string",
                    "pattern": _whole(ACTION_NAME),
                    "description": "The action's name in its rule; its type by default.",
                },
                "retry": _ref(f"retry_{name}"),
                "order_by": {**_FIELD, "description": "A field: deliveries of one value go one at a time, in order."},
            },
            "required": [name],
            "additionalProperties": False,
        }
        for name, found in registries.actions.items()
    ]


def _combinators(of: str) -> Schema:
    listed: Schema = {"type": "array", "items": _ref(of), "minItems": 1}
    return {name: _ref(of) if name == "not" else listed for name in COMBINATORS}


def _match_defs() -> dict[str, Schema]:
    on_text = {name: _ref("text-test") for name in PLAIN}
    headers, query = _named(_ref("text-test"), REQUEST_HEADER), _named(_ref("text-test"), re.compile(".+"))
    return {
        "match": {
            "type": "object",
            "description": "Fields and what they must be; every entry must hold.",
            "properties": {**on_text, "headers": headers, "query": query, **_combinators("match")},
            "patternProperties": {
                r"^\$": _ref("test"),
                rf"^headers\.{REQUEST_HEADER.pattern}$": _ref("text-test"),
                r"^query\..": _ref("text-test"),
            },
            "additionalProperties": False,
        },
        "element": {
            "type": "object",
            "description": "A condition in which $ is the list element.",
            "properties": _combinators("element"),
            "patternProperties": {r"^\$": _ref("test")},
            "additionalProperties": False,
            "minProperties": 1,
        },
        **_tests("", _SCALAR, {}),
        # Headers, query parameters and the like are always text.
        **_tests("text-", {"type": "string"}, {"equals": {"type": "string"}, "in": _list({"type": "string"})}),
    }


def _tests(prefix: str, scalar: Schema, operands: Mapping[str, Schema]) -> dict[str, Schema]:
    test, operators = _ref(f"{prefix}test"), _ref(f"{prefix}operators")
    return {
        f"{prefix}test": {
            "description": "A value, a list of alternatives, or operators that one value has to satisfy.",
            "anyOf": [scalar, _list({"anyOf": [scalar, operators]}), operators],
        },
        f"{prefix}operators": {
            "type": "object",
            "properties": {
                **{name: operands.get(name, _OPERANDS.get(name, _TEXT)) for name in OPERATORS},
                "exists": {"type": "boolean"},
                "ignore_case": {"type": "boolean"},
                "every": test,
                "not": test,
                "elem": _ref("element"),
            },
            "additionalProperties": False,
            "minProperties": 1,
        },
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}
