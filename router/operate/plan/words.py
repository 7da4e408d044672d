"""The kinds of changes of a plan in words."""

from router.operate.plan.changes import ChangeKind

WORDS = {
    ChangeKind.FAIL: ("!", "would be dead at once"),
    ChangeKind.GO: ("-", "go"),
    ChangeKind.COME: ("+", "come"),
    ChangeKind.CHANGE: ("~", "change"),
    ChangeKind.MEND: ("*", "would no longer be dead at once"),
    ChangeKind.MOVE: (">", "move to another rule or action, and do the same"),
}
"""A sign, and what deliveries would do."""
