"""The JSON schemas of the API's replies. Tests compare them with real replies."""

from collections.abc import Collection

from router.admin.api.schema_parts import (
    COUNT,
    FLAG,
    MAP,
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    closed_object,
    page_of,
    ref,
    searched_page_of,
    times,
)
from router.domain.deliveries import State
from router.domain.groups import SkipReason
from router.domain.holds import HoldCause, HoldKind
from router.domain.outcomes import OutcomeKind
from router.domain.target_state import Wait
from router.rules.reload.drift import DriftReason

_ITEM: dict[str, Schema] = {
    "item": {**TEXT_OR_NULL, "description": "The place of its item in the payload, for a rule with for_each."},
    "item_index": {**NUMBER_OR_NULL, "description": "The item's number among the rule's items, from 0."},
}
_DELIVERY: dict[str, Schema] = {
    **_ITEM,
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
    **times("created_at"),
    **times("first_attempt_at", null=True),
    **times("next_attempt_at", null=True),
    "waits_for": {
        "enum": [*(wait.value for wait in Wait), None],
        "description": "What a pending delivery waits for; null: its turn comes at once.",
    },
    **times("waits_until", null=True),
    "error": TEXT,
    "ruleset": TEXT,
    "latest_key": {**TEXT_OR_NULL, "description": "The value of latest_by; null once it was replayed."},
    "once_key": {**TEXT_OR_NULL, "description": "The value of once_by, if it counts as the first."},
    "skip_reason": {
        "enum": [*(reason.value for reason in SkipReason), None],
        "description": "Why it is skipped: a newer or an earlier one replaces it.",
    },
    "skipped_for": {**TEXT_OR_NULL, "description": "While it is skipped: the id of the delivery that replaces it."},
}
_GROUP: dict[str, Schema] = {
    "latest_key": TEXT,
    "wait_ms": COUNT,
    "max_wait_ms": COUNT,
    "once_key": TEXT,
    "within_ms": COUNT,
}
_EVENT: dict[str, Schema] = {
    "id": TEXT,
    "source": TEXT,
    "method": TEXT,
    "path": TEXT,
    "query": TEXT,
    "ip": TEXT,
    **times("received_at"),
    "headers": array({"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}),
    "size": COUNT,
    "dedupe_key": TEXT_OR_NULL,
    "routing": {"oneOf": [ref("Routing"), {"type": "null"}]},
    "deliveries": array(ref("Delivery")),
}
HIDDEN: Schema = {"const": True, "description": "Texts of the payload are [hidden], as its source demands."}
_NOT_JUDGED = closed_object({"rule": TEXT, "error": TEXT})
_DEPTH: dict[str, Schema] = {
    "target": TEXT,
    "due": COUNT,
    "blocked": COUNT,
    "held": COUNT,
    "running": COUNT,
    "dead": COUNT,
    **times("oldest_at", null=True),
    "oldest_age_ms": NUMBER_OR_NULL,
    "waits_for": {
        "enum": [*(wait.value for wait in Wait if wait not in (Wait.ORDER, Wait.RETRY)), None],
        "description": "What its deliveries wait for: those that are due, or held.",
    },
    **times("waits_until", null=True),
    "paused": array(ref("Pause")),
    "breaker": MAP,
}
_PAUSE: dict[str, Schema] = {
    "cause": {"enum": [cause.value for cause in HoldCause]},
    **times("since"),
    **times("until", null=True),
}
_RULE: dict[str, Schema] = {
    "name": TEXT,
    "enabled": FLAG,
    "sources": array(TEXT),
    "actions": array(
        closed_object(
            {
                "name": TEXT,
                "type": TEXT,
                "target": TEXT,
                "enabled": FLAG,
                "order_by": TEXT_OR_NULL,
                "latest_by": TEXT_OR_NULL,
                "wait_ms": NUMBER_OR_NULL,
                "max_wait_ms": NUMBER_OR_NULL,
                "once_by": TEXT_OR_NULL,
                "within_ms": NUMBER_OR_NULL,
            }
        )
    ),
    "for_each": TEXT_OR_NULL,
    "stop": FLAG,
    "responds": FLAG,
    "digest": TEXT,
    "waiting": COUNT,
}
_SKIPPED = closed_object({"id": TEXT, "reason": TEXT})
_CHANGE: dict[str, Schema] = {
    "dry_run": FLAG,
    "deliveries": array(TEXT),
    "skipped": array(_SKIPPED),
    "not_found": array(TEXT),
    "more": FLAG,
    "next": TEXT_OR_NULL,
}
_PLANNED = closed_object(
    {
        "event": TEXT,
        "id": TEXT_OR_NULL,
        "rule": TEXT,
        "action": TEXT,
        "type": TEXT,
        "target": TEXT,
        "order_key": TEXT_OR_NULL,
        **_ITEM,
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
    "RulesProblem": closed_object(
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
    "Delivery": closed_object(_DELIVERY),
    "DeliveryWithAttempts": closed_object(
        {**_DELIVERY, "next_ruleset": TEXT_OR_NULL, "attempts_made": array(ref("Attempt"))}
    ),
    "Attempt": closed_object(
        {
            "number": COUNT,
            **times("started_at"),
            **times("finished_at", null=True),
            "duration_ms": NUMBER_OR_NULL,
            "outcome": {"enum": [*(kind.value for kind in OutcomeKind), None]},
            "status": NUMBER_OR_NULL,
            "error": TEXT,
            "excerpt": TEXT,
            "sent": {"oneOf": [ref("Sent"), {"type": "null"}]},
        }
    ),
    "Sent": closed_object(
        {
            "method": TEXT,
            "url": TEXT,
            "headers": array({"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}),
            "size": COUNT,
            "sha256": TEXT,
            "start": TEXT,
        }
    ),
    "DeliveryList": searched_page_of(ref("Delivery")),
    "EventHead": closed_object(
        {
            "id": TEXT,
            "source": TEXT,
            "method": TEXT,
            "path": TEXT,
            "ip": TEXT,
            **times("received_at"),
            "size": COUNT,
            "deliveries": {"type": "object", "additionalProperties": COUNT, "propertyNames": ref("State")},
        }
    ),
    "Routing": closed_object(
        {"ruleset": TEXT, **times("ruleset_first_at", null=True), "matched": array(TEXT), "errors": array(_NOT_JUDGED)}
    ),
    "EventList": searched_page_of(ref("EventHead")),
    "Event": closed_object(_EVENT, {"body": TEXT, "body_base64": TEXT, "hidden": HIDDEN}),
    "Replayed": closed_object({**_CHANGE, "replayed": COUNT}),
    "Cancelled": closed_object({**_CHANGE, "cancelled": COUNT}),
    "Rerouted": closed_object(
        {
            "dry_run": FLAG,
            "planned": array(_PLANNED),
            "skipped": array(closed_object({"event": TEXT, "reason": TEXT})),
            "not_found": array(TEXT),
            "more": FLAG,
            "next": TEXT_OR_NULL,
        }
    ),
    "Depth": closed_object(_DEPTH),
    "Pause": closed_object(_PAUSE),
    "Hold": closed_object({"kind": {"enum": [kind.value for kind in HoldKind]}, "name": TEXT, **_PAUSE}),
    "Target": closed_object(
        {
            **_DEPTH,
            "defined": {"type": "boolean", "description": "Whether an action of the running rules goes there."},
            "concurrency": NUMBER_OR_NULL,
            "rate": {"type": ["number", "null"], "description": "Attempts started each second; null: no limit."},
        }
    ),
    "TargetList": page_of(ref("Target")),
    "PausedTarget": closed_object({"target": TEXT, "paused": array(ref("Pause")), "held": COUNT}),
    "Rule": closed_object(_RULE),
    "RuleWithDead": closed_object({**_RULE, "dead": COUNT}),
    "RuleList": page_of(ref("Rule")),
    "PolledSource": closed_object(
        {
            "source": TEXT,
            "events": COUNT,
            **times("polled_at", null=True),
            **times("succeeded_at", null=True),
            **times("next_at", null=True),
            "next_in_ms": NUMBER_OR_NULL,
            "failures": COUNT,
            **times("failing_since", null=True),
            "failing_ms": NUMBER_OR_NULL,
            "error": TEXT_OR_NULL,
        }
    ),
    "Status": {
        "type": "object",
        "properties": {
            "running": FLAG,
            "pid": NUMBER_OR_NULL,
            "store": closed_object({"path": TEXT, "bytes": COUNT, "wal_bytes": COUNT}),
            "polls": array(ref("PolledSource")),
            "process": MAP,
            "rules": MAP,
            "breakers": MAP,
            "pending": COUNT,
            "held": COUNT,
            "holds": array(ref("Hold")),
            "in_flight": COUNT,
            "dead": COUNT,
            **times("oldest_at", null=True),
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
            "held",
            "holds",
            "in_flight",
            "dead",
            "targets",
        ],
        "additionalProperties": False,
    },
    "Planned": {
        "type": "object",
        "properties": {
            "version": {"const": 1},
            "new": MAP,
            "against": MAP,
            **times("since"),
            **times("until"),
            "events": MAP,
            "deliveries": {"type": "object", "additionalProperties": COUNT},
            "rules": array(MAP),
            "changes": array(MAP),
            "answers": array(MAP),
            "not_judged": array(MAP),
            "differs": FLAG,
            "not_covered": array(TEXT),
            "next": TEXT_OR_NULL,
        },
        "required": ["version", "events", "deliveries", "rules", "changes", "not_judged", "differs", "next"],
        "additionalProperties": False,
    },
    "Checked": closed_object({"ok": FLAG, "problems": array(ref("RulesProblem"))}),
    "Reloaded": closed_object(
        {
            "hash": TEXT,
            "rules": COUNT,
            "added": array(TEXT),
            "removed": array(TEXT),
            "changed": array(TEXT),
            "besides": {"type": "array", "items": TEXT, "description": "What changed besides rules."},
            "unchanged": FLAG,
            "warnings": array(ref("RulesProblem")),
        }
    ),
    "Health": closed_object({"healthy": FLAG}),
    "Readiness": {"type": "object", "additionalProperties": FLAG},
}


def schemas(action_types: Collection[str]) -> dict[str, Schema]:
    """All schemas, for these types of actions."""
    return {
        **_SCHEMAS,
        "ActionType": {"type": "string", "enum": [*action_types]},
        "Tested": closed_object(*_tested(action_types)),
        "Explained": _explained(action_types),
    }


def _explained(action_types: Collection[str]) -> Schema:
    required, optional = _tested(action_types)
    rules = {
        "of": {"enum": ["then", "now"]},
        "hash": TEXT_OR_NULL,
        **times("first_at", null=True),
        "unusable": {"type": ["string", "null"], "description": "Why these rules can't be used."},
    }
    recorded = closed_object({"matched": array(TEXT), "errors": array(_NOT_JUDGED)})
    known: dict[str, Schema] = {
        "rules": closed_object(rules),
        "recorded": {"oneOf": [recorded, {"type": "null"}]},
    }
    return closed_object({**known, **required}, {**optional, "hidden": HIDDEN})


def _tested(action_types: Collection[str]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    return (
        {
            "matched": array(TEXT),
            "deliveries": array(
                closed_object(
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
            ),
        },
        {
            "answer": closed_object({"from": TEXT, "within_ms": COUNT, "otherwise": FLAG}),
            "respond": closed_object(
                {
                    "rule": TEXT_OR_NULL,
                    "status": COUNT,
                    "content_type": TEXT_OR_NULL,
                    "headers": MAP,
                    "body": TEXT,
                    "error": TEXT_OR_NULL,
                }
            ),
            "source_disabled": {"type": "boolean", "description": "Such a request would be answered 404."},
            "errors": array(_NOT_JUDGED),
            "explain": array(
                closed_object(
                    {
                        "rule": TEXT,
                        "verdict": {"enum": ["matched", "unmatched", "error", "not tried"]},
                        "reason": TEXT_OR_NULL,
                        "conditions": array(MAP),
                    },
                    {"items": closed_object({"matched": array(TEXT), "unmatched": COUNT, "shown": TEXT_OR_NULL})},
                )
            ),
            "unexplained": {"type": "integer", "minimum": 1, "description": "Rules that are not explained: too many."},
        },
    )
