"""The schemas of rules: those that run, checked texts, plans and reloads."""

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
    page_of,
    ref,
    times,
)

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

RULES: dict[str, Schema] = {
    "Rule": closed_object(_RULE),
    "RuleWithDead": closed_object({**_RULE, "dead": COUNT}),
    "RuleList": page_of(ref("Rule")),
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
}
