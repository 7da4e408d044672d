"""The schemas of events, and of routing them again."""

from router.admin.api.schema_parts import (
    COUNT,
    FLAG,
    HIDDEN,
    NOT_JUDGED,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    closed_object,
    ref,
    searched_page_of,
    times,
)
from router.admin.api.schemas.deliveries import ITEM

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
_PLANNED = closed_object(
    {
        "event": TEXT,
        "id": TEXT_OR_NULL,
        "rule": TEXT,
        "action": TEXT,
        "type": TEXT,
        "target": TEXT,
        "order_key": TEXT_OR_NULL,
        **ITEM,
    }
)

EVENTS: dict[str, Schema] = {
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
        {"ruleset": TEXT, **times("ruleset_first_at", null=True), "matched": array(TEXT), "errors": array(NOT_JUDGED)}
    ),
    "EventList": searched_page_of(ref("EventHead")),
    "Event": closed_object(_EVENT, {"body": TEXT, "body_base64": TEXT, "hidden": HIDDEN}),
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
}
