"""Conditions and pages of queries, from the filters of events and deliveries."""

from typing import Any

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.store.postgres.arrays import stored

Part = tuple[str, tuple[Any, ...]]
"""A part of a query's text, and its values."""

_SETTLING = 2000  #: rows by id among which the lowest seq is: ids and seqs of several nodes differ by a batch or two
NEVER = 2**62  #: above every seq


def where(which: Filter) -> Part:
    """The condition on delivery `d` and, for source and event, on event `e`."""
    parts = ["true"]
    values: list[Any] = []

    def add(part: str, value: Any) -> None:
        if value is not None:
            parts.append(part)
            values.append(stored(value) if isinstance(value, str) else value)

    if which.states:
        # Written out, so that the indexes on single states serve, and the index on unsettled deliveries.
        parts.append("d.state IN (" + ", ".join(f"'{state.value}'" for state in which.states) + ")")
    add("d.rule = %s", which.rule)
    add("d.action = %s", which.action)
    add("d.target = %s", which.target)
    add("e.source = %s", which.source)
    add("e.id = %s", which.event_id)
    if which.since is not None:
        # An id begins with a time, never less than the delivery's: the index on ids leads to the first delivery.
        add("d.id >= %s", first_id(which.since))
        add("d.created_at >= %s", which.since)
    add("d.created_at < %s", which.until)
    return " AND ".join(parts), tuple(values)


def floor(which: Filter) -> Part:
    """The lowest seq of the selected deliveries, so that a walk by seq skips the older ones."""
    return _floor("delivery", which.since)


def page(condition: Part, name: str, lowest: Part, after: int, *, newest_first: bool) -> Part:
    """The end of a query for a page of `name`'s rows by seq. The caller adds the value of LIMIT."""
    (selected, values), (least, floors) = condition, lowest
    if newest_first:
        walk, places = f"{name}.seq >= {least} AND {name}.seq < %s ORDER BY {name}.seq DESC", (*floors, after or NEVER)
    elif after:  # a page before this one began at the lowest seq
        walk, places = f"{name}.seq > %s ORDER BY {name}.seq", (after,)
    else:
        walk, places = f"{name}.seq >= {least} ORDER BY {name}.seq", floors
    return f" WHERE {selected} AND {walk} LIMIT %s", (*values, *places)


def event_where(which: EventFilter) -> Part:
    """The condition on event `e`."""
    parts: list[Part] = [("true", ())]
    if which.source is not None:
        parts.append(("e.source = %s", (stored(which.source),)))
    if which.until is not None:
        parts.append(("e.received_at < %s", (which.until,)))
    if which.since is not None:
        parts.append(("e.id >= %s AND e.received_at >= %s", (first_id(which.since), which.since)))
    if which.rule is not None or which.states:
        parts.append(_with_deliveries(which.rule, which.states))
    if which.unmatched:
        parts.append((_UNMATCHED, ()))
    if which.dedupe_keys:
        parts.append(("e.dedupe_key = ANY(%s)", ([stored(key) for key in which.dedupe_keys],)))
    return " AND ".join(part for part, _ in parts), tuple(value for _, values in parts for value in values)


def _with_deliveries(rule: str | None, states: tuple[State, ...]) -> Part:
    """Events with a delivery of that rule in one of these states, or that the rule matched without any."""
    of_rule = () if rule is None else (stored(rule),)
    if not states:
        return _OF_RULE, of_rule * 2
    # One SELECT for each state, written out, so that the partial indexes serve.
    narrowed = "" if rule is None else " AND rule = %s"
    selects = [
        f"SELECT event FROM webhook_router.delivery WHERE state = '{state.value}'{narrowed}"  # noqa: S608 - constants
        for state in states
    ]
    return f"e.seq IN ({' UNION '.join(selects)})", of_rule * len(states)


_OF_RULE = """
e.seq IN (
    SELECT event FROM webhook_router.delivery WHERE rule = %s
    UNION SELECT event FROM webhook_router.matched_alone WHERE rule = %s
)
"""

# The deliveries of `unmatched`, and events without any; none of them has got a delivery by a rule since.
_UNMATCHED = """
e.seq IN (
    SELECT event FROM webhook_router.delivery WHERE rule = 'unmatched'
    UNION SELECT event FROM webhook_router.matched_alone WHERE rule = 'unmatched'
) AND NOT EXISTS (SELECT 1 FROM webhook_router.delivery d WHERE d.event = e.seq AND d.rule <> 'unmatched')
"""


def event_floor(which: EventFilter) -> Part:
    """The lowest seq of the selected events."""
    return _floor("event", which.since)


def _floor(table: str, since: int | None) -> Part:
    if since is None:
        return "0", ()
    first = f"SELECT seq FROM webhook_router.{table} WHERE id >= %s ORDER BY id LIMIT {_SETTLING}"  # noqa: S608 - constants
    return f"coalesce((SELECT min(seq) FROM ({first}) AS first), {NEVER})", (first_id(since),)  # noqa: S608 - constants


def first_id(at: int) -> str:
    """The smallest UUIDv7 of a time (ms)."""
    text = f"{max(0, at):012x}"
    return f"{text[:8]}-{text[8:12]}"
