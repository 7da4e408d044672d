"""Queries over many deliveries: which are meant, what is due, how much waits."""

from collections.abc import Iterable
from typing import Any

from router.domain.deliveries import State
from router.domain.queries import Depth, EventFilter, Filter

Part = tuple[str, tuple[Any, ...]]
"""A part of a query, and the values of its question marks."""

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


def where(which: Filter) -> Part:
    """A condition on delivery `d` and, for source and event, on event `e`; with its values."""
    parts = ["1"]
    values: list[Any] = []

    def add(part: str, value: Any) -> None:
        if value is not None:
            parts.append(part)
            values.append(value)

    if which.states:
        # Written out, so that the indexes of single states serve; and those of what is not settled.
        parts.append("(" + " OR ".join(f"d.state = '{state.value}'" for state in which.states) + ")")
        if set(which.states) <= {State.PENDING, State.RUNNING}:
            parts.append("d.state IN ('pending', 'running')")
    add("d.rule = ?", which.rule)
    add("d.action = ?", which.action)
    add("d.target = ?", which.target)
    add("e.source = ?", which.source)
    add("e.id = ?", which.event_id)
    if which.since is not None:
        # An id begins with its time, which is never less than the delivery's: the ids' index leads to the first one.
        add("d.id >= ?", first_id(which.since))
        add("d.created_at >= ?", which.since)
    add("d.created_at < ?", which.until)
    return " AND ".join(parts), tuple(values)


def floor(which: Filter) -> Part:
    """The least seq of what is meant, with its values, so that a walk by seq need not cross all that is older."""
    return _floor("delivery", which.since)


def page(condition: Part, name: str, lowest: Part, after: int, *, newest_first: bool) -> Part:
    """The rest of a query for a page of `name`'s rows by seq; a value for its LIMIT is still to come."""
    (meant, values), (least, floors) = condition, lowest
    if newest_first:
        walk, places = f"{name}.seq >= {least} AND {name}.seq < ? ORDER BY {name}.seq DESC", (*floors, after or _NEVER)
    elif after:  # above the floor already
        walk, places = f"{name}.seq > ? ORDER BY {name}.seq", (after,)
    else:
        walk, places = f"{name}.seq >= {least} ORDER BY {name}.seq", floors
    return f" WHERE {meant} AND {walk} LIMIT ?", (*values, *places)


EVENT_HEADS = """
SELECT e.seq, e.id, e.source, e.method, e.path, e.ip, e.received_at, length(e.body), (
    SELECT json_group_object(state, number)
    FROM (SELECT state, count(*) AS number FROM delivery WHERE event = e.seq GROUP BY state)
)
FROM event e
"""


def event_where(which: EventFilter) -> Part:
    """A condition on event `e`, with its values."""
    given: list[tuple[str, Any]] = [("e.source = ?", which.source), ("e.received_at < ?", which.until)]
    if which.since is not None:
        given += [("e.id >= ?", first_id(which.since)), ("e.received_at >= ?", which.since)]
    used = [(part, value) for part, value in given if value is not None]
    return " AND ".join(["1", *(part for part, _ in used)]), tuple(value for _, value in used)


def event_floor(which: EventFilter) -> Part:
    """As `floor`, for events."""
    return _floor("event", which.since)


def _floor(table: str, since: int | None) -> Part:
    if since is None:
        return "0", ()
    # With a plus, or the least seq would be sought by walking up to it.
    return f"coalesce((SELECT min(+seq) FROM {table} WHERE id >= ?), {_NEVER})", (first_id(since),)  # noqa: S608 - constants


_NEVER = 2**62  #: no seq comes so far


def first_id(at: int) -> str:
    """The smallest UUIDv7 of a time (ms)."""
    text = f"{max(0, at):012x}"
    return f"{text[:8]}-{text[8:12]}"
