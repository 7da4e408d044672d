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
    add("d.rule = ?" if _has_index(which.states) else "d.rule = ? AND d.rule <> ''", which.rule)
    add("d.action = ?", which.action)
    add("d.target = ?", which.target)
    add("+e.source = ?", which.source)  # the plus: by seq, not by the index on sources
    add("e.id = ?", which.event_id)
    if which.since is not None:
        # An id begins with a time, never less than the delivery's: the index on ids leads to the first delivery.
        add("d.id >= ?", first_id(which.since))
        add("d.created_at >= ?", which.since)
    add("d.created_at < ?", which.until)
    return " AND ".join(parts), tuple(values)


def _has_index(states: tuple[State, ...]) -> bool:
    """Whether an index on states serves, so that the one on rules is not needed."""
    return bool(states) and State.SUCCEEDED not in states


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
    parts: list[Part] = [("1", ())]
    if which.source is not None:
        parts.append(("e.source = ?", (which.source,)))
    if which.until is not None:
        parts.append(("e.received_at < ?", (which.until,)))
    if which.since is not None:
        parts.append(("e.id >= ? AND e.received_at >= ?", (first_id(which.since), which.since)))
    if which.rule is not None or which.states:
        parts.append(_with_deliveries(which.rule, which.states))
    if which.unmatched:
        parts.append((_UNMATCHED, ()))
    if which.dedupe_keys:
        parts.append((f"e.dedupe_key IN ({', '.join('?' * len(which.dedupe_keys))})", which.dedupe_keys))
    return " AND ".join(part for part, _ in parts), tuple(value for _, values in parts for value in values)


def _with_deliveries(rule: str | None, states: tuple[State, ...]) -> Part:
    """Events with a delivery of that rule in one of these states, or that the rule matched without any."""
    if not states:
        of_rule = f"SELECT event FROM delivery WHERE {_OF_RULE} UNION SELECT event FROM matched_alone WHERE rule = ?"  # noqa: S608 - constants
        return f"e.seq IN ({of_rule})", (rule, rule)
    # One SELECT for each state, written out, so that the partial indexes serve.
    narrowed = {s: "" if rule is None else f" AND {'rule = ?' if _has_index((s,)) else _OF_RULE}" for s in states}
    values = () if rule is None else (rule,)
    selects = [f"SELECT event FROM delivery WHERE {_IN_STATE[state]}{narrowed[state]}" for state in states]  # noqa: S608 - constants
    return f"e.seq IN ({' UNION '.join(selects)})", values * len(states)


_OF_RULE = "rule = ? AND rule <> ''"  #: as the index says it, see schema_7.sql
_UNSETTLED = "state IN ('pending', 'running')"
_IN_STATE = {
    state: f"state = '{state.value}'"
    + {State.PENDING: f" AND {_UNSETTLED}", State.RUNNING: f" AND {_UNSETTLED}", State.SUCCEEDED: ""}.get(
        state, " AND state NOT IN ('pending', 'running', 'succeeded')"
    )
    for state in State
}

# The deliveries of `unmatched`, and events without any; none of them has got a delivery by a rule since.
_UNMATCHED = """
e.seq IN (
    SELECT event FROM delivery WHERE rule = 'unmatched' AND rule <> ''
    UNION SELECT event FROM matched_alone WHERE rule = 'unmatched'
) AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.rule <> 'unmatched')
"""


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
