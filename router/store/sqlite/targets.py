"""Queries over the deliveries of each target: what is due, and how much waits."""

from collections.abc import Iterable
from typing import Any

from router.domain.summaries import Depth

# A loose index scan: one seek for each target, however many rows it has.
DUE = """
WITH RECURSIVE
    target (name) AS (
        SELECT min(target) FROM delivery WHERE state = 'pending' AND blocked = 0
        UNION ALL
        SELECT (SELECT min(target) FROM delivery WHERE state = 'pending' AND blocked = 0 AND target > name)
        FROM target WHERE name IS NOT NULL
    )
SELECT name, (
    SELECT min(next_attempt_at) FROM delivery WHERE state = 'pending' AND blocked = 0 AND target = name
)
FROM target WHERE name IS NOT NULL
"""

# Each part reads one index and no rows.
DEPTHS = """
SELECT target, 'due', count(*), min(created_at) FROM delivery WHERE state = 'pending' AND blocked = 0 GROUP BY target
UNION ALL
SELECT target, 'blocked', count(*), min(created_at) FROM delivery WHERE state = 'pending' AND blocked IN (1, 4, 5)
    GROUP BY target
UNION ALL
SELECT target, 'held', count(*), NULL FROM delivery WHERE blocked & 2 GROUP BY target
UNION ALL
SELECT target, 'running', count(*), NULL FROM delivery WHERE state = 'running' GROUP BY target
UNION ALL
SELECT target, 'dead', count(*), NULL FROM delivery WHERE state = 'dead' GROUP BY target
"""


def depths_of(rows: Iterable[tuple[Any, ...]]) -> list[Depth]:
    """From rows of DEPTHS."""
    counts: dict[str, dict[str, int]] = {}
    oldest: dict[str, int] = {}
    for target, state, count, oldest_at in rows:
        counts.setdefault(target, {})[state] = count
        if oldest_at is not None:
            oldest[target] = min(oldest_at, oldest.get(target, oldest_at))
    return [
        Depth(
            target,
            due=found.get("due", 0),
            blocked=found.get("blocked", 0),
            held=found.get("held", 0),
            running=found.get("running", 0),
            dead=found.get("dead", 0),
            oldest_at=oldest.get(target),
        )
        for target, found in sorted(counts.items())
    ]
