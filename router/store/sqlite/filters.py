"""Conditions and pages of queries, from the filters of events and deliveries."""

from typing import Any

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter

Part = tuple[str, tuple[Any, ...]]
"""A part of a query's text, and the values of its question marks."""


def where(which: Filter) -> Part:
    """The condition on delivery `d` and, for source and event, on event `e`."""
    parts = ["1"]
    values: list[Any] = []

    def add(part: str, value: Any) -> None:
        if value is not None:
            parts.append(part)
            values.append(value)

    if which.states:
        # Written out, so that the indexes on single states serve, and the index on unsettled deliveries.
        parts.append("(" + " OR ".join(f"d.state = '{state.value}'" for state in which.states) + ")")
        if set(which.states) <= {State.PENDING, State.RUNNING}:
            parts.append("d.state IN ('pending', 'running')")
    add("d.rule = ?", which.rule)
    add("d.action = ?", which.action)
    add("d.target = ?", which.target)
    add("e.source = ?", which.source)
    add("e.id = ?", which.event_id)
    if which.since is not None:
        # An id begins with a time, never less than the delivery's: the index on ids leads to the first delivery.
        add("d.id >= ?", first_id(which.since))
        add("d.created_at >= ?", which.since)
    add("d.created_at < ?", which.until)
    return " AND ".join(parts), tuple(values)


def floor(which: Filter) -> Part:
    """The lowest seq of the selected deliveries, so that a walk by seq skips the older ones."""
    return _floor("delivery", which.since)


def page(condition: Part, name: str, lowest: Part, after: int, *, newest_first: bool) -> Part:
    """The end of a query for a page of `name`'s rows by seq. The caller adds the value of LIMIT."""
    (selected, values), (least, floors) = condition, lowest
    if newest_first:
        walk, places = f"{name}.seq >= {least} AND {name}.seq < ? ORDER BY {name}.seq DESC", (*floors, after or _NEVER)
    elif after:  # a page before this one began at the lowest seq
        walk, places = f"{name}.seq > ? ORDER BY {name}.seq", (after,)
    else:
        walk, places = f"{name}.seq >= {least} ORDER BY {name}.seq", floors
    return f" WHERE {selected} AND {walk} LIMIT ?", (*values, *places)


def event_where(which: EventFilter) -> Part:
    """The condition on event `e`."""
    given: list[tuple[str, Any]] = [("e.source = ?", which.source), ("e.received_at < ?", which.until)]
    if which.since is not None:
        given += [("e.id >= ?", first_id(which.since)), ("e.received_at >= ?", which.since)]
    used = [(part, value) for part, value in given if value is not None]
    return " AND ".join(["1", *(part for part, _ in used)]), tuple(value for _, value in used)


def event_floor(which: EventFilter) -> Part:
    """The lowest seq of the selected events."""
    return _floor("event", which.since)


def _floor(table: str, since: int | None) -> Part:
    if since is None:
        return "0", ()
    # The plus keeps SQLite from walking by seq up to the first match.
    return f"coalesce((SELECT min(+seq) FROM {table} WHERE id >= ?), {_NEVER})", (first_id(since),)  # noqa: S608 - constants


_NEVER = 2**62  #: above every seq


def first_id(at: int) -> str:
    """The smallest UUIDv7 of a time (ms)."""
    text = f"{max(0, at):012x}"
    return f"{text[:8]}-{text[8:12]}"
