"""Conditions and pages of queries, from the filters of events and deliveries."""

from typing import Any

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.store.places import LATER_MS, NEVER, Bounds, Part, at_place, first_id, one_place

SETTLING = 5_000  #: rows by id that are searched for the lowest or highest seq: a changed clock may mix their order
MANY = 10_000  #: events that are collected for one page; it takes some milliseconds


def where(which: Filter, *, few_events: bool = False) -> Part:
    """The condition on delivery `d` and, for source and event, on event `e`.

    `few_events`: the source has few events, so its deliveries are found through them.
    """
    parts = ["1"]
    values: list[Any] = []

    def add(part: str, value: Any) -> None:
        if value is not None:
            parts.append(part)
            values.append(value)

    if which.states:
        # Written out, so that the indexes on single states and on unsettled deliveries are used.
        parts.append("(" + " OR ".join(f"d.state = '{state.value}'" for state in which.states) + ")")
        if which.states == (State.RUNNING,):  # few rows, in an index of their own
            parts.append("d.seq IN (SELECT seq FROM delivery WHERE state = 'running')")
        elif set(which.states) <= {State.PENDING, State.RUNNING}:
            parts.append("d.state IN ('pending', 'running')")
    add("d.rule = ?" if _has_index(which.states) else "d.rule = ? AND d.rule <> ''", which.rule)
    add("d.action = ?", which.action)
    add("d.target = ?", which.target)
    if few_events:
        add("d.event IN (SELECT seq FROM event WHERE source = ?)", which.source)
    else:
        add("+e.source = ?", which.source)  # the plus keeps SQLite from the index on sources: the walk is by seq
    add("e.id = ?", which.event_id)
    if which.since is not None:
        # An id begins with a time, never less than the delivery's: the index on ids leads to the first delivery.
        add("d.id >= ?", first_id(which.since))
        add("d.created_at >= ?", which.since)
    add("d.created_at < ?", which.until)
    return " AND ".join(parts), tuple(values)


def _has_index(states: tuple[State, ...]) -> bool:
    """Whether an index on states can be used, so that the index on rules is not needed."""
    return bool(states) and State.SUCCEEDED not in states


def bounds(which: Filter) -> Bounds:
    """The seqs between which the selected deliveries are, so that a walk by seq skips older and newer ones."""
    return _bounds("delivery", which.since, which.until)


def page(condition: Part, name: str, between: Bounds, after: int, *, newest_first: bool, above: int = 0) -> Part:
    """The end of a query for a page of `name`'s rows by seq, above a given seq. The caller adds the value of LIMIT."""
    selected, (lowest, highest) = condition, between
    lows, highs = [lowest, ("?", (above + 1,))], [highest]
    if newest_first:
        highs.append(("?", ((after or NEVER) - 1,)))
    elif after:  # the page before this one began at the lowest seq
        lows = [("?", (max(after, above) + 1,))]
    parts = [selected, at_place(name, ">=", one_place("max", lows)), at_place(name, "<=", one_place("min", highs))]
    order = f"{name}.seq DESC" if newest_first else f"{name}.seq"
    text = " AND ".join(part for part, _ in parts)
    return f" WHERE {text} ORDER BY {order} LIMIT ?", tuple(value for _, values in parts for value in values)


def event_where(which: EventFilter, *, many: bool = False) -> Part:
    """The condition on event `e`.

    `many`: too many events match the rule or the states to collect them, so each event is tested instead.
    """
    parts: list[Part] = [("1", ())]
    if which.source is not None:
        parts.append(("e.source = ?", (which.source,)))
    if which.until is not None:
        parts.append(("e.received_at < ?", (which.until,)))
    if which.since is not None:
        parts.append(("e.id >= ? AND e.received_at >= ?", (first_id(which.since), which.since)))
    if which.rule is not None or which.states:
        parts.append(_among(_with_deliveries(which.rule, which.states), many=many))
    if which.unmatched:
        parts += [_among(_UNMATCHED, many=many), (NEVER_MATCHED, ())]
    if which.dedupe_keys:
        parts.append((f"e.dedupe_key IN ({', '.join('?' * len(which.dedupe_keys))})", which.dedupe_keys))
    return " AND ".join(part for part, _ in parts), tuple(value for _, values in parts for value in values)


def event_sets(which: EventFilter) -> list[Part]:
    """Queries for the seqs of events that match the rule, the states and `unmatched`; each gives a part of them."""
    sets = _with_deliveries(which.rule, which.states) if which.rule is not None or which.states else []
    return [*sets, *(_UNMATCHED if which.unmatched else [])]


def _among(sets: list[Part], *, many: bool) -> Part:
    """Whether event `e` is in one of the sets."""
    values = tuple(value for _, values in sets for value in values)
    if not many:
        return f"e.seq IN ({' UNION '.join(text for text, _ in sets)})", values
    # Go by the event's own deliveries, whatever the planner prefers.
    asked = [text.replace("FROM delivery ", "FROM delivery INDEXED BY delivery_event ") for text, _ in sets]
    return "(" + " OR ".join(f"EXISTS ({text} AND event = e.seq)" for text in asked) + ")", values


def _with_deliveries(rule: str | None, states: tuple[State, ...]) -> list[Part]:
    """Events with a delivery of that rule in one of these states. Also events that the rule matched without a
    delivery."""
    of_rule = () if rule is None else (rule,)
    if not states:
        return [
            (f"SELECT event FROM delivery WHERE {OF_RULE}", of_rule),  # noqa: S608 - constants
            ("SELECT event FROM matched_alone WHERE rule = ?", of_rule),
        ]
    # One SELECT for each state, written out, so that the partial indexes are used.
    narrowed = {s: "" if rule is None else f" AND {'rule = ?' if _has_index((s,)) else OF_RULE}" for s in states}
    return [(f"SELECT event FROM delivery WHERE {IN_STATE[state]}{narrowed[state]}", of_rule) for state in states]  # noqa: S608


OF_RULE = "rule = ? AND rule <> ''"  #: as in the index, see schema_7.sql
UNSETTLED = "state IN ('pending', 'running')"
IN_STATE = {
    state: f"state = '{state.value}'"
    + {State.PENDING: f" AND {UNSETTLED}", State.RUNNING: "", State.SUCCEEDED: ""}.get(
        state, " AND state NOT IN ('pending', 'running', 'succeeded')"
    )
    for state in State
}

# The deliveries of `unmatched`, and events without any.
_UNMATCHED: list[Part] = [
    ("SELECT event FROM delivery WHERE rule = 'unmatched' AND rule <> ''", ()),
    ("SELECT event FROM matched_alone WHERE rule = 'unmatched'", ()),
]
# None of them has got a delivery of a rule since then.
NEVER_MATCHED = "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = e.seq AND d.rule <> 'unmatched')"


def event_bounds(which: EventFilter) -> Bounds:
    """The seqs between which the selected events are."""
    return _bounds("event", which.since, which.until)


def _bounds(table: str, since: int | None, until: int | None) -> Bounds:
    """Ids begin with a time, so the index on ids leads to the first and to the last row."""
    lowest: Part = ("0", ())
    highest: Part = (str(NEVER), ())
    if since is not None:
        rows = f"SELECT seq FROM {table} WHERE id >= ? ORDER BY id LIMIT {SETTLING}"  # noqa: S608 - constants
        lowest = f"coalesce((SELECT min(seq) FROM ({rows}) AS first), {NEVER})", (first_id(since),)  # noqa: S608
    if until is not None:
        newest = f"(SELECT id FROM {table} ORDER BY seq DESC LIMIT 1)"  # noqa: S608 - constants
        rows = f"SELECT seq FROM {table} WHERE id < ? ORDER BY id DESC LIMIT {SETTLING}"  # noqa: S608 - constants
        last = f"coalesce((SELECT max(seq) FROM ({rows}) AS last), 0)"  # noqa: S608 - constants
        # If the newest row is old enough, none is too new, also when many ids before it are of a clock that was ahead.
        before = first_id(until + LATER_MS)
        highest = f"CASE WHEN {newest} < ? THEN {NEVER} ELSE {last} END", (before, before)
    return lowest, highest
