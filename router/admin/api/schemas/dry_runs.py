"""The schemas of dry runs: what rules make of a request or a stored event."""

from collections.abc import Collection

from router.admin.api.schema_parts import (
    COUNT,
    FLAG,
    HIDDEN,
    MAP,
    NOT_JUDGED,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    closed_object,
    times,
)

_GROUP: dict[str, Schema] = {
    "latest_key": TEXT,
    "wait_ms": COUNT,
    "max_wait_ms": COUNT,
    "once_key": TEXT,
    "within_ms": COUNT,
}
_RESPOND: dict[str, Schema] = {
    "rule": TEXT_OR_NULL,
    "status": COUNT,
    "content_type": TEXT_OR_NULL,
    "headers": MAP,
    "body": TEXT,
    "error": TEXT_OR_NULL,
}
_EXPLAINED_RULE = closed_object(
    {
        "rule": TEXT,
        "verdict": {"enum": ["matched", "unmatched", "error", "not tried"]},
        "reason": TEXT_OR_NULL,
        "conditions": array(MAP),
    },
    {"items": closed_object({"matched": array(TEXT), "unmatched": COUNT, "shown": TEXT_OR_NULL})},
)
_NOT_ALWAYS: dict[str, Schema] = {
    "answer": closed_object({"from": TEXT, "within_ms": COUNT, "otherwise": FLAG}),
    "respond": closed_object(_RESPOND),
    "source_disabled": {"type": "boolean", "description": "Such a request would be answered 404."},
    "errors": array(NOT_JUDGED),
    "explain": array(_EXPLAINED_RULE),
    "unexplained": {"type": "integer", "minimum": 1, "description": "Rules that are not explained: too many."},
}
_RULES: dict[str, Schema] = {
    "of": {"enum": ["then", "now"]},
    "hash": TEXT_OR_NULL,
    **times("first_at", null=True),
    "unusable": {"type": ["string", "null"], "description": "Why these rules can't be used."},
}
_RECORDED = closed_object({"matched": array(TEXT), "errors": array(NOT_JUDGED)})


def dry_runs(action_types: Collection[str]) -> dict[str, Schema]:
    """The schemas, for these types of actions."""
    always: dict[str, Schema] = {"matched": array(TEXT), "deliveries": array(_delivery(action_types))}
    explained: dict[str, Schema] = {
        "rules": closed_object(_RULES),
        "recorded": {"oneOf": [_RECORDED, {"type": "null"}]},
        **always,
    }
    return {
        "Tested": closed_object(always, _NOT_ALWAYS),
        "Explained": closed_object(explained, {**_NOT_ALWAYS, "hidden": HIDDEN}),
    }


def _delivery(action_types: Collection[str]) -> Schema:
    """A planned delivery, with what its action would do under the name of its type."""
    return closed_object(
        {
            "rule": TEXT,
            "action": TEXT,
            "type": TEXT,
            "target": TEXT,
            "order_key": TEXT_OR_NULL,
            "error": TEXT_OR_NULL,
        },
        {**dict.fromkeys(action_types, MAP), "held": TEXT, "item": TEXT, **_GROUP},
    )
