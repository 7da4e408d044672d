"""The JSON Schema of a rules file, built from the models that read it."""

import json
from collections.abc import Iterable, Mapping, Sequence

from router.domain.events import UNMATCHED
from router.domain.outcomes import Cause
from router.domain.secrets import SecretRef
from router.plugins.handshake import HandshakeKind
from router.plugins.registries import Registries
from router.plugins.scheme import Scheme
from router.rules.compile.actions import ACTION_NAME
from router.rules.compile.json_schema.conditions import match_definitions
from router.rules.compile.json_schema.parts import TEXT, Schema, list_of, model_schema, named, ref, whole
from router.rules.compile.polled import OF_SENDERS
from router.rules.compile.retry_on import EVERY_CAUSE, on_schema
from router.rules.compile.sections import SECRET_NAME, TARGET_NAME
from router.rules.compile.source_keys import METHOD
from router.rules.compile.sources import SOURCE_NAME
from router.rules.include.entries import IncludeOptions, OnlyOptions
from router.rules.yaml.schema import (
    DedupeOptions,
    DefaultsOptions,
    ForEachOptions,
    GroupOptions,
    RespondFromOptions,
    RespondOptions,
    RetryOptions,
    RuleOptions,
    SourceOptions,
    TargetOptions,
)

_FIELD: Schema = {
    "type": "string",
    "pattern": r"^(\$|(source|method|path|ip|time|weekday)$|(headers|query|params)\.|item($|\.|\[))",
}
_REDACTED: Schema = {"type": "string", "pattern": r"^(\$|(headers|query|params)\.)"}
_ITEMS: Schema = {"type": "string", "pattern": r"^\$.*[\]*]$"}
_RULE_NAME: Schema = {"type": "string", "pattern": rf"^(?!{UNMATCHED}$)[^/\s]([^/]*[^/\s])?$", "maxLength": 128}


def json_schema(registries: Registries, *, included: bool = False) -> Schema:
    """The schema of a rules file, or of an included file, with the given actions and verification schemes."""
    keys: dict[str, Schema] = {
        "version": {"const": 1},
        "secrets": named(model_schema(SecretRef), SECRET_NAME),
        "sources": named(_source(registries), SOURCE_NAME),
        "targets": named(_target(), TARGET_NAME),
        "rules": {"type": "array", "items": _rule(included=included), "minItems": 1},
    }
    defs = _definitions(registries)
    if included:
        return _document("Rules of webhook-router, in a file that another one includes", keys, defs)
    zone: Schema = {**TEXT, "description": "The time zone of time and weekday, such as Europe/Berlin; UTC."}
    keys |= {"include": _include(), "timezone": zone, "defaults": _defaults(), "unmatched": ref("actions")}
    rest: Schema = {
        "anyOf": [{"required": ["sources"]}, {"required": ["include"]}],
        "allOf": [{"anyOf": [{"required": ["rules"]}, {"required": ["unmatched"]}, {"required": ["include"]}]}],
    }
    return {**_document("Rules of webhook-router", keys, defs), **rest}


def _definitions(registries: Registries) -> dict[str, Schema]:
    """The schemas that stand in several places."""
    return {
        **match_definitions(),
        "retry": _retry(EVERY_CAUSE),
        **{f"retry_{name}": _retry(found.causes) for name, found in registries.actions.items()},
        "retry_target": _retry(registries.target_causes),
        "actions": {"type": "array", "items": {"anyOf": _actions(registries)}, "minItems": 1},
    }


def _source(registries: Registries) -> Schema:
    source = model_schema(SourceOptions)
    source["properties"] |= {
        "verify": _schemes(registries.schemes),
        "handshake": _schemes(registries.handshakes),
        "probes": {"anyOf": [{"const": "none"}, list_of(model_schema(registries.probes.Options))]},
        "preset": {**source["properties"]["preset"], "enum": list(registries.presets)},
        "path": {**source["properties"]["path"], "pattern": r"^/(?!-/)[!-~]*$"},
        "methods": {**source["properties"]["methods"], "items": {"type": "string", "pattern": whole(METHOD)}},
        "dedupe": {"anyOf": [_FIELD, {"const": "none"}, _dedupe()]},
        "redact": {**source["properties"]["redact"], "type": "array", "items": _REDACTED, "minItems": 1},
        "respond": {"anyOf": [_respond(), {"const": "none"}]},
        "poll": {"anyOf": [TEXT, model_schema(registries.polls.Options)]},
    }
    source["required"] = []
    source["oneOf"] = [
        {"required": ["verify"], "not": {"required": ["poll"]}},
        {"required": ["poll"], "not": {"anyOf": _required(OF_SENDERS)}},
    ]
    return source


def _defaults() -> Schema:
    defaults = model_schema(DefaultsOptions)
    defaults["properties"]["retry"] = ref("retry")
    return defaults


def _target() -> Schema:
    target = model_schema(TargetOptions)
    target["properties"]["retry"] = ref("retry_target")
    return target


def _rule(*, included: bool) -> Schema:
    """A rule. In an included file it must name its sources."""
    rule = model_schema(RuleOptions)
    for_each = model_schema(ForEachOptions)
    for_each["properties"]["path"] |= _ITEMS
    rule["properties"] |= {
        "name": {**rule["properties"]["name"], **_RULE_NAME},
        "source": {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]},
        "match": ref("match"),
        "for_each": {"anyOf": [_ITEMS, for_each]},
        "respond": {"anyOf": [_respond(), {**model_schema(RespondFromOptions), "properties": _respond_from()}]},
        "actions": ref("actions"),
    }
    rule["anyOf"] = [{"required": ["actions"]}, {"required": ["respond"]}]
    if included:
        rule["required"] = [*rule["required"], "source"]
    return rule


def _required(keys: Iterable[str]) -> list[Schema]:
    return [{"required": [key]} for key in keys]


def _document(title: str, keys: Schema, defs: Schema) -> Schema:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "properties": keys,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "definitions": defs,
    }


def _include() -> Schema:
    files: Schema = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
    entry = model_schema(IncludeOptions)
    entry["properties"] |= {"files": {**entry["properties"]["files"], **files}, "only": model_schema(OnlyOptions)}
    return {
        "type": "array",
        "items": {"anyOf": [TEXT, entry]},
        "minItems": 1,
        "description": "Files with more secrets, targets, sources and rules.",
    }


def _respond() -> Schema:
    return {**model_schema(RespondOptions), "not": {"required": ["body", "json"]}}


def _respond_from() -> Schema:
    properties: Schema = model_schema(RespondFromOptions)["properties"]
    return {**properties, "otherwise": _respond()}


def _dedupe() -> Schema:
    schema = model_schema(DedupeOptions)
    schema["properties"]["key"] |= _FIELD
    return schema


def _retry(causes: Sequence[Cause]) -> Schema:
    """A `retry` for actions that fail by these causes."""
    schema = model_schema(RetryOptions)
    schema["properties"]["on"] |= on_schema(causes)
    return schema


def _schemes(plugins: Mapping[str, Scheme] | Mapping[str, HandshakeKind]) -> Schema:
    """`NAME` for those that need no settings, or `{scheme: NAME, …}`; schemes with the same settings share a schema."""
    schemes: list[Schema] = [{"const": "none"}]
    alike: dict[str, tuple[Schema, list[str]]] = {}
    for name, scheme in plugins.items():
        schema = model_schema(scheme.Options)
        required = schema.get("required", [])
        if not required and name != "none":
            schemes.append({"const": name})
        plain = {**schema, "properties": _without_defaults(schema.get("properties", {})), "description": ""}
        found = alike.setdefault(json.dumps([plain["properties"], required]), (schema, []))
        found[1].append(name)
    for schema, names in alike.values():
        own = schema.get("properties", {}) if len(names) == 1 else _without_defaults(schema.get("properties", {}))
        properties = {"scheme": {"const": names[0]} if len(names) == 1 else {"enum": names}, **own}
        made = {**schema, "properties": properties, "required": ["scheme", *schema.get("required", ())]}
        if len(names) > 1:
            made.pop("description", None)
        schemes.append(made)
    return {"anyOf": schemes}


def _without_defaults(properties: Schema) -> Schema:
    return {name: {key: value for key, value in one.items() if key != "default"} for name, one in properties.items()}


def _grouping() -> Schema:
    properties: Schema = model_schema(GroupOptions)["properties"]
    return {key: {**schema, **_FIELD} if key.endswith("_by") else schema for key, schema in properties.items()}


def _actions(registries: Registries) -> list[Schema]:
    """One alternative for each type: its key, with the long or a short form, and what every action may have."""
    shorts: dict[type, Schema] = {str: TEXT, list: {"type": "array", "minItems": 1}}
    return [
        {
            "type": "object",
            "properties": {
                name: {"anyOf": [model_schema(found.options), *(shorts[value] for value in found.short_forms)]},
                "name": {
                    "type": "string",
                    "pattern": whole(ACTION_NAME),
                    "description": "The action's name in its rule; its type by default.",
                },
                "enabled": {
                    "type": "boolean",
                    "description": "False: the action is off, and its waiting deliveries are held.",
                },
                "retry": ref(f"retry_{name}"),
                "order_by": {
                    **_FIELD,
                    "description": "A field: deliveries with the same value go one at a time, in order.",
                },
                **_grouping(),
            },
            "required": [name],
            "dependencies": {
                "wait": ["latest_by"],
                "max_wait": ["wait"],
                "once_by": ["within"],
                "within": ["once_by"],
            },
            "not": {"required": ["latest_by", "once_by"]},
            "additionalProperties": False,
        }
        for name, found in registries.actions.items()
    ]
