"""Conditions and pages of queries, from the filters of events and deliveries."""

from typing import Any

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.store.places import LATER_MS, NEVER, Bounds, Part, at_place, first_id, one_place
from router.store.postgres.arrays import stored

#: rows by id that are searched for the lowest seq: ids and seqs of several nodes differ by a batch or two
SETTLING = 2000
MANY = 10_000  #: events that are collected for one page; it takes some milliseconds


def where(which: Filter, *, few_events: bool = False) -> Part:
    """The condition on delivery `d` and, for source and event, on event `e`.

    `few_events`: the source has few events, so its deliveries are found through them.
    """
    parts = ["true"]
    values: list[Any] = []

    def add(part: str, value: Any) -> None:
        if value is not None:
            parts.append(part)
            values.append(stored(value) if isinstance(value, str) else value)

    if which.states:
        # Written out, so that the indexes on single states and on unsettled deliveries are used.
        parts.append("d.state IN (" + ", ".join(f"'{state.value}'" for state in which.states) + ")")
    add("d.rule = %s", which.rule)
    add("d.action = %s", which.action)
    add("d.target = %s", which.target)
    of_source = "d.event IN (SELECT seq FROM webhook_router.event WHERE source = %s)"
    add(of_source if few_events else "e.source = %s", which.source)
    add("e.id = %s", which.event_id)
    if which.since is not None:
        # An id begins with a time, never less than the delivery's: the index on ids leads to the first delivery.
        add("d.id >= %s", first_id(which.since))
        add("d.created_at >= %s", which.since)
    add("d.created_at < %s", which.until)
    return " AND ".join(parts), tuple(values)


def bounds(which: Filter) -> Bounds:
    """The seqs between which the selected deliveries are, so that a walk by seq skips older and newer ones."""
    return _bounds("delivery", which.since, which.until)


def page(condition: Part, name: str, between: Bounds, after: int, *, newest_first: bool, above: int = 0) -> Part:
    """The end of a query for a page of `name`'s rows by seq, above a given seq. The caller adds the value of LIMIT."""
    selected, (lowest, highest) = condition, between
    lows, highs = [lowest, ("%s", (above + 1,))], [highest]
    if newest_first:
        highs.append(("%s", ((after or NEVER) - 1,)))
    elif after:  # the page before this one began at the lowest seq
        lows = [("%s", (max(after, above) + 1,))]
    parts = [
        selected,
        at_place(name, ">=", one_place("greatest", lows)),
        at_place(name, "<=", one_place("least", highs)),
    ]
    order = f"{name}.seq DESC" if newest_first else f"{name}.seq"
    text = " AND ".join(part for part, _ in parts)
    return f" WHERE {text} ORDER BY {order} LIMIT %s", tuple(value for _, values in parts for value in values)


def event_where(which: EventFilter, *, many: bool = False) -> Part:
    """The condition on event `e`.

    `many`: too many events match the rule or the states to collect them, so each event is tested instead.
    """
    parts: list[Part] = [("true", ())]
    if which.source is not None:
        parts.append(("e.source = %s", (stored(which.source),)))
    if which.until is not None:
        parts.append(("e.received_at < %s", (which.until,)))
    if which.since is not None:
        parts.append(("e.id >= %s AND e.received_at >= %s", (first_id(which.since), which.since)))
    if which.rule is not None or which.states:
        parts.append(_among(_with_deliveries(which.rule, which.states), many=many))
    if which.unmatched:
        parts += [_among(_UNMATCHED, many=many), (NEVER_MATCHED, ())]
    if which.dedupe_keys:
        parts.append(("e.dedupe_key = ANY(%s)", ([stored(key) for key in which.dedupe_keys],)))
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
    return "(" + " OR ".join(f"EXISTS ({text} AND event = e.seq)" for text, _ in sets) + ")", values


def _with_deliveries(rule: str | None, states: tuple[State, ...]) -> list[Part]:
    """Events with a delivery of that rule in one of these states. Also events that the rule matched without a
    delivery."""
    of_rule = () if rule is None else (stored(rule),)
    if not states:
        return [
            ("SELECT event FROM webhook_router.delivery WHERE rule = %s", of_rule),
            ("SELECT event FROM webhook_router.matched_alone WHERE rule = %s", of_rule),
        ]
    # One SELECT for each state, written out, so that the partial indexes are used.
    narrowed = "" if rule is None else " AND rule = %s"
    return [
        (f"SELECT event FROM webhook_router.delivery WHERE state = '{state.value}'{narrowed}", of_rule)  # noqa: S608
        for state in states
    ]


# The deliveries of `unmatched`, and events without any.
_UNMATCHED: list[Part] = [
    ("SELECT event FROM webhook_router.delivery WHERE rule = 'unmatched'", ()),
    ("SELECT event FROM webhook_router.matched_alone WHERE rule = 'unmatched'", ()),
]
# None of them has got a delivery of a rule since then.
NEVER_MATCHED = """
NOT EXISTS (SELECT 1 FROM webhook_router.delivery d WHERE d.event = e.seq AND d.rule <> 'unmatched')
"""


def event_bounds(which: EventFilter) -> Bounds:
    """The seqs between which the selected events are."""
    return _bounds("event", which.since, which.until)


def _bounds(table: str, since: int | None, until: int | None) -> Bounds:
    """Ids begin with a time, so the index on ids leads to the first and to the last row."""
    lowest: Part = ("0", ())
    highest: Part = (str(NEVER), ())
    if since is not None:
        rows = f"SELECT seq FROM webhook_router.{table} WHERE id >= %s ORDER BY id LIMIT {SETTLING}"  # noqa: S608 - constants
        lowest = f"coalesce((SELECT min(seq) FROM ({rows}) AS first), {NEVER})", (first_id(since),)  # noqa: S608
    if until is not None:
        table = f"webhook_router.{table}"
        newest = f"(SELECT id FROM {table} ORDER BY seq DESC LIMIT 1)"  # noqa: S608 - constants
        rows = f"SELECT seq FROM {table} WHERE id < %s ORDER BY id DESC LIMIT {SETTLING}"  # noqa: S608 - constants
        last = f"coalesce((SELECT max(seq) FROM ({rows}) AS last), 0)"  # noqa: S608 - constants
        # If the newest row is old enough, none is too new, also when many ids before it are of a clock that was ahead.
        before = first_id(until + LATER_MS)
        highest = f"CASE WHEN {newest} < %s THEN {NEVER} ELSE {last} END", (before, before)
    return lowest, highest
