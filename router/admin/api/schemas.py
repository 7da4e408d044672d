"""The JSON that is answered, as schemas: closed, so that an answer with a key that isn't here fails the tests."""

from collections.abc import Collection, Mapping
from typing import Any

from router.domain.deliveries import State
from router.domain.outcomes import OutcomeKind
from router.domain.target_state import Wait
from router.rules.reload.drift import DriftReason

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NUMBER_OR_NULL: Schema = {"type": ["integer", "null"]}
TIME: Schema = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
MAP: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """A shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """A list of those."""
    return {"type": "array", "items": items}


def shape(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def listed(items: Schema) -> Schema:
    """One page of a list."""
    return shape({"items": array(items), "next": TEXT_OR_NULL})


def _times(name: str, *, null: bool = False) -> dict[str, Schema]:
    return {name: TIME_OR_NULL if null else TIME, f"{name}_ms": NUMBER_OR_NULL if null else NUMBER}


_DELIVERY: dict[str, Schema] = {
    "id": TEXT,
    "event": TEXT,
    "rule": TEXT,
    "action": TEXT,
    "type": ref("ActionType"),
    "target": TEXT,
    "order_key": TEXT_OR_NULL,
    "state": ref("State"),
    "blocked": FLAG,
    "attempts": COUNT,
    "interruptions": COUNT,
    **_times("created_at"),
    **_times("first_attempt_at", null=True),
    **_times("next_attempt_at", null=True),
    "waits_for": {
        "enum": [*(wait.value for wait in Wait), None],
        "description": "What a pending delivery waits for; null: its turn comes at once.",
    },
    **_times("waits_until", null=True),
    "error": TEXT,
    "ruleset": TEXT,
}
_EVENT: dict[str, Schema] = {
    "id": TEXT,
    "source": TEXT,
    "method": TEXT,
    "path": TEXT,
    "query": TEXT,
    "ip": TEXT,
    **_times("received_at"),
    "headers": array({"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}),
    "size": COUNT,
    "dedupe_key": TEXT_OR_NULL,
    "deliveries": array(ref("Delivery")),
}
_DEPTH: dict[str, Schema] = {
    "target": TEXT,
    "due": COUNT,
    "blocked": COUNT,
    "running": COUNT,
    "dead": COUNT,
    **_times("oldest_at", null=True),
    "oldest_age_ms": NUMBER_OR_NULL,
    "waits_for": {
        "enum": [Wait.RATE.value, Wait.BREAKER.value, Wait.CONCURRENCY.value, None],
        "description": "What its due deliveries wait for.",
    },
    **_times("waits_until", null=True),
    "breaker": MAP,
}
_RULE: dict[str, Schema] = {
    "name": TEXT,
    "sources": array(TEXT),
    "actions": array(shape({"name": TEXT, "type": TEXT, "target": TEXT, "order_by": TEXT_OR_NULL})),
    "stop": FLAG,
    "responds": FLAG,
    "digest": TEXT,
    "waiting": COUNT,
}
_SKIPPED = shape({"id": TEXT, "reason": TEXT})
_CHANGE: dict[str, Schema] = {
    "dry_run": FLAG,
    "deliveries": array(TEXT),
    "skipped": array(_SKIPPED),
    "not_found": array(TEXT),
    "more": FLAG,
    "next": TEXT_OR_NULL,
}
_PLANNED = shape(
    {
        "event": TEXT,
        "id": TEXT_OR_NULL,
        "rule": TEXT,
        "action": TEXT,
        "type": TEXT,
        "target": TEXT,
        "order_key": TEXT_OR_NULL,
    }
)

_SCHEMAS: dict[str, Schema] = {
    "Problem": {
        "description": "An error by RFC 9457.",
        "type": "object",
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": NUMBER,
            "detail": {"type": "string", "description": "What is wrong, and what would be right."},
            "parameter": {"type": "string", "description": "The parameter, or the key of the body, that is wrong."},
            "why": {"type": "string", "enum": [why.value for why in DriftReason]},
            "hash": {"type": "string", "description": "Of the rules that run."},
            "problems": array(ref("RulesProblem")),
        },
        "required": ["type", "title", "status", "detail"],
        "additionalProperties": False,
    },
    "RulesProblem": shape(
        {
            "file": TEXT,
            "line": NUMBER,
            "column": NUMBER,
            "path": TEXT,
            "message": TEXT,
            "level": {"type": "string", "enum": ["error", "warning", "note"]},
        }
    ),
    "State": {"type": "string", "enum": [state.value for state in State]},
    "Delivery": shape(_DELIVERY),
    "DeliveryWithAttempts": shape({**_DELIVERY, "next_ruleset": TEXT_OR_NULL, "attempts_made": array(ref("Attempt"))}),
    "Attempt": shape(
        {
            "number": COUNT,
            **_times("started_at"),
            **_times("finished_at", null=True),
            "duration_ms": NUMBER_OR_NULL,
            "outcome": {"enum": [*(kind.value for kind in OutcomeKind), None]},
            "status": NUMBER_OR_NULL,
            "error": TEXT,
            "excerpt": TEXT,
        }
    ),
    "DeliveryList": listed(ref("Delivery")),
    "EventHead": shape(
        {
            "id": TEXT,
            "source": TEXT,
            "method": TEXT,
            "path": TEXT,
            "ip": TEXT,
            **_times("received_at"),
            "size": COUNT,
            "deliveries": {"type": "object", "additionalProperties": COUNT, "propertyNames": ref("State")},
        }
    ),
    "EventList": listed(ref("EventHead")),
    "Event": shape(_EVENT, {"body": TEXT, "body_base64": TEXT}),
    "Replayed": shape({**_CHANGE, "replayed": COUNT}),
    "Cancelled": shape({**_CHANGE, "cancelled": COUNT}),
    "Rerouted": shape(
        {
            "dry_run": FLAG,
            "planned": array(_PLANNED),
            "skipped": array(shape({"event": TEXT, "reason": TEXT})),
            "not_found": array(TEXT),
            "more": FLAG,
            "next": TEXT_OR_NULL,
        }
    ),
    "Depth": shape(_DEPTH),
    "Target": shape(
        {
            **_DEPTH,
            "defined": {"type": "boolean", "description": "Whether an action of the running rules goes there."},
            "concurrency": NUMBER_OR_NULL,
            "rate": {"type": ["number", "null"], "description": "Attempts started a second; null: no limit."},
        }
    ),
    "TargetList": listed(ref("Target")),
    "Rule": shape(_RULE),
    "RuleWithDead": shape({**_RULE, "dead": COUNT}),
    "RuleList": listed(ref("Rule")),
    "Status": {
        "type": "object",
        "properties": {
            "running": FLAG,
            "pid": NUMBER_OR_NULL,
            "store": shape({"path": TEXT, "bytes": COUNT, "wal_bytes": COUNT}),
            "process": MAP,
            "rules": MAP,
            "breakers": MAP,
            "pending": COUNT,
            "in_flight": COUNT,
            "dead": COUNT,
            **_times("oldest_at", null=True),
            "oldest_age_ms": NUMBER_OR_NULL,
            "targets": array(ref("Depth")),
        },
        "required": [
            "running",
            "pid",
            "store",
            "process",
            "rules",
            "breakers",
            "pending",
            "in_flight",
            "dead",
            "targets",
        ],
        "additionalProperties": False,
    },
    "Checked": shape({"ok": FLAG, "problems": array(ref("RulesProblem"))}),
    "Reloaded": shape(
        {
            "hash": TEXT,
            "rules": COUNT,
            "added": array(TEXT),
            "removed": array(TEXT),
            "changed": array(TEXT),
            "besides": {"type": "array", "items": TEXT, "description": "What changed and is no rule."},
            "unchanged": FLAG,
            "warnings": array(ref("RulesProblem")),
        }
    ),
    "Health": shape({"healthy": FLAG}),
    "Readiness": {"type": "object", "additionalProperties": FLAG},
}


def schemas(action_types: Collection[str]) -> dict[str, Schema]:
    """All schemas, for these types of actions."""
    return {
        **_SCHEMAS,
        "ActionType": {"type": "string", "enum": [*action_types]},
        "Tested": _tested(action_types),
    }


def _tested(action_types: Collection[str]) -> Schema:
    return shape(
        {
            "matched": array(TEXT),
            "deliveries": array(
                shape(
                    {
                        "rule": TEXT,
                        "action": TEXT,
                        "type": TEXT,
                        "target": TEXT,
                        "order_key": TEXT_OR_NULL,
                        "error": TEXT_OR_NULL,
                    },
                    dict.fromkeys(action_types, MAP),
                )
            ),
        },
        {
            "errors": array(shape({"rule": TEXT, "error": TEXT})),
            "explain": array(
                shape(
                    {
                        "rule": TEXT,
                        "verdict": {"enum": ["matched", "unmatched", "error", "not tried"]},
                        "reason": TEXT_OR_NULL,
                        "conditions": array(MAP),
                    }
                )
            ),
            "unexplained": {"type": "integer", "minimum": 1, "description": "Rules that are not explained: too many."},
        },
    )
