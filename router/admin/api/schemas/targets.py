"""The schemas of targets, and of what holds deliveries there."""

from router.admin.api.schema_parts import (
    COUNT,
    MAP,
    NUMBER_OR_NULL,
    TEXT,
    Schema,
    array,
    closed_object,
    page_of,
    ref,
    times,
)
from router.domain.holds import HoldCause, HoldKind
from router.domain.target_state import Wait

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

TARGETS: dict[str, Schema] = {
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
}
