"""Queries over many deliveries: which are meant, what is due, how much waits."""

from collections.abc import Iterable
from typing import Any

from router.model import Depth, Filter

# A loose index scan: one seek per target, however many rows wait there.
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

# Each part reads one index and no row.
DEPTHS = """
SELECT target, 'due', count(*), min(created_at) FROM delivery WHERE state = 'pending' AND blocked = 0 GROUP BY target
UNION ALL
SELECT target, 'blocked', count(*), min(created_at) FROM delivery WHERE state = 'pending' AND blocked = 1
    GROUP BY target
UNION ALL
SELECT target, 'running', count(*), NULL FROM delivery WHERE state = 'running' GROUP BY target
UNION ALL
SELECT target, 'dead', count(*), NULL FROM delivery WHERE state = 'dead' GROUP BY target
"""


def depths(rows: Iterable[tuple[Any, ...]]) -> list[Depth]:
    """From DEPTHS."""
    counts: dict[str, dict[str, int]] = {}
    oldest: dict[str, int] = {}
    for target, state, count, oldest_at in rows:
        counts.setdefault(target, {})[state] = count
        if oldest_at is not None:
            oldest[target] = min(oldest_at, oldest.get(target, oldest_at))
    return [Depth(target, **counts[target], oldest_at=oldest.get(target)) for target in sorted(counts)]


def where(which: Filter) -> tuple[str, tuple[Any, ...]]:
    """A condition on delivery `d` and, for source and event, on event `e`; with its values."""
    parts = ["1"]
    values: list[Any] = []

    def add(part: str, value: Any) -> None:
        if value is not None:
            parts.append(part)
            values.append(value)

    if which.states:
        # Written out, so that the indexes of single states serve.
        parts.append("(" + " OR ".join(f"d.state = '{state.value}'" for state in which.states) + ")")
    add("d.rule = ?", which.rule)
    add("d.action = ?", which.action)
    add("d.target = ?", which.target)
    add("e.source = ?", which.source)
    add("e.id = ?", which.event_id)
    if which.since is not None:
        # An id begins with its time, which is never less than the delivery's: the ids' index leads to the first one.
        add("d.id >= ?", _first_id(which.since))
        add("d.created_at >= ?", which.since)
    add("d.created_at < ?", which.until)
    return " AND ".join(parts), tuple(values)


def _first_id(at: int) -> str:
    """The smallest UUIDv7 of a time (ms)."""
    text = f"{max(0, at):012x}"
    return f"{text[:8]}-{text[8:12]}"
