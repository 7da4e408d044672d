"""The schemas of deliveries, their attempts, and what changes them."""

from router.admin.api.schema_parts import (
    COUNT,
    FLAG,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    closed_object,
    ref,
    searched_page_of,
    times,
)
from router.domain.deliveries import State
from router.domain.groups import SkipReason
from router.domain.outcomes import OutcomeKind
from router.domain.target_state import Wait

ITEM: dict[str, Schema] = {
    "item": {**TEXT_OR_NULL, "description": "The place of its item in the payload, for a rule with for_each."},
    "item_index": {**NUMBER_OR_NULL, "description": "The item's number among the rule's items, from 0."},
}
_DELIVERY: dict[str, Schema] = {
    **ITEM,
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
_SKIPPED = closed_object({"id": TEXT, "reason": TEXT})
_CHANGE: dict[str, Schema] = {
    "dry_run": FLAG,
    "deliveries": array(TEXT),
    "skipped": array(_SKIPPED),
    "not_found": array(TEXT),
    "more": FLAG,
    "next": TEXT_OR_NULL,
}

DELIVERIES: dict[str, Schema] = {
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
    "Replayed": closed_object({**_CHANGE, "replayed": COUNT}),
    "Cancelled": closed_object({**_CHANGE, "cancelled": COUNT}),
}
