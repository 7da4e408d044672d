"""Lists of the newest rows that a filter selects, in a bounded time.

When one condition selects few rows, these are collected by its index, and the other conditions are asked of each.
Otherwise the table is walked back in steps (router/store/search_back.py). Each query says which index it walks, by an
array of seqs or a fence (OFFSET 0), so that no plan depends on what the planner believes of the rows.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.store.chosen_events import Chosen, Read, Row, are_few, found_back, groups, joined
from router.store.places import NEVER, Part
from router.store.postgres.arrays import stored
from router.store.postgres.filters import NEVER_MATCHED, bounds, event_bounds
from router.store.search_back import FoundBack

FEW = 2_000  #: rows that are collected for one page; each may be in a block of its own, which costs 10 microseconds


def search_events(read: Read, heads: str, which: EventFilter, limit: int, after: int) -> FoundBack[Row]:
    """Rows of the query `heads`, by seq, the newest first."""
    lowest, highest = _places(read, "event", event_bounds(which))
    asked, conditions = groups(which), _event_conditions(which)
    few = _few_events(read, which, asked)

    def between(most: int, below: int, above: int) -> list[Row]:
        if few is None and not asked:
            return read(*_page(heads, "event e", _walked_events(which, above, below), conditions, most))
        sets = few or _sets(asked[0], lambda _: ("event > %s AND event < %s", (above, below)))
        return read(*_page(heads, "event e", None, [*_among(sets, "e", above, below), *conditions], most))

    return found_back(between, limit, after, (lowest, highest), is_few=few is not None)


def search_deliveries(read: Read, rows: str, which: Filter, limit: int, after: int) -> FoundBack[Row]:
    """Rows of the query `rows`, by seq, the newest first."""
    lowest, highest = _places(read, "delivery", bounds(which))
    conditions = _delivery_conditions(which)
    few = _few_deliveries(read, which)

    def between(most: int, below: int, above: int) -> list[Row]:
        if few is None:
            return read(*_page(rows, "delivery d", _walked_deliveries(which, above, below), conditions, most))
        return read(*_page(rows, "delivery d", None, [*_among(few, "d", above, below), *conditions], most))

    return found_back(between, limit, after, (lowest, highest), is_few=few is not None)


def few_events(read: Read, which: EventFilter) -> Part | None:
    """The condition on event `e`, where few have to be looked at."""
    sets = _few_events(read, which, groups(which))
    return None if sets is None else joined([*_among(sets, "e", 0, NEVER), *_event_conditions(which)], "AND")


def few_deliveries(read: Read, which: Filter) -> Part | None:
    """The condition on delivery `d`, where few have to be looked at."""
    sets = _few_deliveries(read, which)
    return None if sets is None else joined([*_among(sets, "d", 0, NEVER), *_delivery_conditions(which)], "AND")


def _page(rows: str, table: str, walked: Part | None, conditions: Sequence[Part], most: int) -> Part:
    """The query for up to `most` rows. Their seqs are found first, so that nothing is made of others.

    `walked`: the rows to look at, in their order.
    """
    name = table[-1]
    text, values = joined([("true", ()), *conditions], "AND")
    source, given = (f"webhook_router.{table}", ()) if walked is None else (f"({walked[0]} OFFSET 0) {name}", walked[1])
    seqs = f"SELECT {name}.seq FROM {source} WHERE {text} ORDER BY {name}.seq DESC LIMIT %s"  # noqa: S608 - constants
    return f"{rows} WHERE {name}.seq = ANY(ARRAY({seqs})) ORDER BY {name}.seq DESC", (*given, *values, most)


def _places(read: Read, table: str, between: tuple[Part, Part]) -> tuple[int, int]:
    """The lowest and the highest seq of rows that may be selected."""
    (low, lows), (high, highs) = between
    ends = f"(SELECT min(seq) FROM webhook_router.{table}), (SELECT max(seq) FROM webhook_router.{table})"  # noqa: S608
    [(lowest, highest, first, last)] = read(f"SELECT ({low})::bigint, ({high})::bigint, {ends}", (*lows, *highs))
    return max(lowest, first or 1), min(highest, last or 0)


def _are_few(read: Read, places: Iterable[Part]) -> bool:
    return are_few(read, FEW, [(f"webhook_router.{text}", values) for text, values in places])


def _among(sets: Sequence[Part], name: str, above: int, below: int) -> list[Part]:
    """That the row is among those of these queries, which are collected first, and between two seqs."""
    text, values = joined(sets, "UNION ALL")
    return [(f"{name}.seq = ANY(ARRAY({text}))", values), (f"{name}.seq > %s AND {name}.seq < %s", (above, below))]


def _with_source(source: str) -> Part:
    return "event WHERE source = %s", (stored(source),)


def _with_rule(rule: str) -> Part:
    return "rule = %s", (stored(rule),)


def _in_state(state: State) -> Part:
    """As an index says it."""
    waits = state in (State.PENDING, State.RUNNING)
    return "state IN ('pending', 'running')" if waits else f"state = '{state.value}'", ()


def _event_conditions(which: EventFilter) -> list[Part]:
    parts: list[Part] = []
    if which.source is not None:
        parts.append(("e.source = %s", (stored(which.source),)))
    if which.since is not None:
        parts.append(("e.received_at >= %s", (which.since,)))
    if which.until is not None:
        parts.append(("e.received_at < %s", (which.until,)))
    if which.dedupe_keys:
        parts.append(("e.dedupe_key = ANY(%s)", ([stored(key) for key in which.dedupe_keys],)))
    parts += [_has(group) for group in groups(which)]
    if which.unmatched:
        parts.append((NEVER_MATCHED, ()))
    return parts


def _few_events(read: Read, which: EventFilter, asked: list[list[Chosen]]) -> list[Part] | None:
    """Queries for the seqs of few events, among which are all that the filter selects."""
    for group in asked:
        rule = group[0][1]
        if rule is not None:
            text, values = _with_rule(rule)
            if _are_few(read, [(f"delivery WHERE {text}", values), (f"matched_alone WHERE {text}", values)]):
                return _sets(group, lambda _: (text, values))  # noqa: B023 - called here
        states = [state for state, _ in group if state is not None]
        if states and State.SUCCEEDED not in states:
            places = [(f"delivery WHERE {text}", values) for text, values in dict.fromkeys(map(_in_state, states))]
            if _are_few(read, places):
                return _sets(group, _in_state)
    if which.source is not None and _are_few(read, [_with_source(which.source)]):
        text, values = _with_source(which.source)
        return [(f"SELECT seq FROM webhook_router.{text}", values)]  # noqa: S608 - constants
    return None


def _sets(group: list[Chosen], place: Callable[[Any], Part]) -> list[Part]:
    """Queries for the seqs of a group's events, each among the deliveries of a state that are in a place."""
    sets: list[Part] = []
    for state, rule in group:
        within, values = place(state)
        rows = f"SELECT event, rule, state FROM webhook_router.delivery WHERE {within} OFFSET 0"  # noqa: S608 - constants
        sets.append(_of_deliveries(rows, values, (state, rule)))
        if state is None:
            alone = f"SELECT event FROM webhook_router.matched_alone WHERE rule = %s AND {within}"  # noqa: S608
            sets.append((alone, (stored(rule or ""), *values)))
    return sets


def _of_deliveries(rows: str, values: tuple[Any, ...], chosen: Chosen) -> Part:
    state, rule = chosen
    parts = [*([f"state = '{state.value}'"] if state is not None else []), *(["rule = %s"] if rule is not None else [])]
    text = f"SELECT event FROM ({rows}) AS d WHERE {' AND '.join(parts)}"  # noqa: S608 - constants
    return text, (*values, *((stored(rule),) if rule is not None else ()))


def _has(group: list[Chosen]) -> Part:
    """Whether event `e` is in a group, by its own deliveries."""
    sets = _sets(group, lambda _: ("event = e.seq", ()))
    text, values = joined([(f"EXISTS ({text})", values) for text, values in sets], "OR")
    return f"({text})", values


def _walked_events(which: EventFilter, above: int, below: int) -> Part:
    """The events between two seqs, those of one source by its index."""
    columns = "SELECT seq, source, received_at, dedupe_key FROM webhook_router.event WHERE"
    if which.source is None:
        return f"{columns} seq > %s AND seq < %s ORDER BY seq DESC", (above, below)
    ordered = f"{columns} source = %s AND (seq + 0) > %s AND (seq + 0) < %s ORDER BY (seq + 0) DESC"
    return ordered, (stored(which.source), above, below)


def _delivery_conditions(which: Filter) -> list[Part]:
    parts: list[Part] = []
    if which.states:
        parts.append(("d.state IN (" + ", ".join(f"'{state.value}'" for state in which.states) + ")", ()))
    for name in ("rule", "action", "target"):
        value = getattr(which, name)
        if value is not None:
            parts.append((f"d.{name} = %s", (stored(value),)))
    if which.since is not None:
        parts.append(("d.created_at >= %s", (which.since,)))
    if which.until is not None:
        parts.append(("d.created_at < %s", (which.until,)))
    event = "(SELECT {} FROM webhook_router.event WHERE seq = d.event) = %s"
    if which.event_id is not None:
        parts.append((event.format("id"), (stored(which.event_id),)))
    if which.source is not None:
        parts.append((event.format("source"), (stored(which.source),)))
    return parts


def _few_deliveries(read: Read, which: Filter) -> list[Part] | None:
    """Queries for the seqs of few deliveries, among which are all that the filter selects."""
    places: list[list[Part]] = []
    if which.event_id is not None:
        text = "event = (SELECT seq FROM webhook_router.event WHERE id = %s)"
        places.append([(text, (stored(which.event_id),))])
    if which.rule is not None:
        places.append([_with_rule(which.rule)])
    if which.states and State.SUCCEEDED not in which.states:
        places.append(list(dict.fromkeys(map(_in_state, which.states))))
    if which.source is not None and _are_few(read, [_with_source(which.source)]):
        text, values = _with_source(which.source)
        places.append([(f"event = ANY(ARRAY(SELECT seq FROM webhook_router.{text}))", values)])  # noqa: S608
    for place in places:
        if _are_few(read, [(f"delivery WHERE {text}", values) for text, values in place]):
            return [(f"SELECT seq FROM webhook_router.delivery WHERE {text}", values) for text, values in place]  # noqa: S608
    return None


def _walked_deliveries(which: Filter, above: int, below: int) -> Part:
    """The deliveries between two seqs, by the narrowest index that has them in this order."""
    columns = "SELECT seq, event, rule, action, target, state, created_at FROM webhook_router.delivery WHERE"
    between = "seq > %s AND seq < %s ORDER BY seq DESC"
    if which.states == (State.DEAD,):
        return f"{columns} state = 'dead' AND {between}", (above, below)
    waiting = _in_state(State.PENDING)
    if which.rule is not None and {_in_state(state) for state in which.states} == {waiting}:
        rule, values = _with_rule(which.rule)
        return f"{columns} {rule} AND {waiting[0]} AND {between}", (*values, above, below)
    return f"{columns} {between}", (above, below)
