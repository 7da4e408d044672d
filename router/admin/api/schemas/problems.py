"""The schemas of errors."""

from router.admin.api.schema_parts import NUMBER, TEXT, Schema, array, closed_object, ref
from router.rules.reload.drift import DriftReason

PROBLEMS: dict[str, Schema] = {
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
}
