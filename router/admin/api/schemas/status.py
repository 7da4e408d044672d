"""The schemas of the daemon's status."""

from router.admin.api.schema_parts import (
    COUNT,
    FLAG,
    MAP,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    closed_object,
    ref,
    times,
)

STATUS: dict[str, Schema] = {
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
    "Health": closed_object({"healthy": FLAG}),
    "Readiness": {"type": "object", "additionalProperties": FLAG},
}
