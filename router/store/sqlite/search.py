"""Lists of the newest rows that a filter selects, in a bounded time.

When one condition selects few rows, these are collected by its index, and the other conditions are asked of each.
Otherwise the table is walked back in steps (router/store/search_back.py). Each query names the index that it walks; a
plus before a column keeps the planner from any other.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from router.domain.deliveries import State
from router.domain.filters import EventFilter, Filter
from router.store.chosen_events import Chosen, Read, Row, are_few, found_back, groups, joined
from router.store.places import Part
from router.store.search_back import FoundBack
from router.store.sqlite.filters import IN_STATE, NEVER_MATCHED, OF_RULE, UNSETTLED, bounds, event_bounds

FEW = 5_000  #: rows that are collected for one page; it takes some milliseconds
_WAITING = frozenset({State.PENDING, State.RUNNING})


def search_events(read: Read, heads: str, which: EventFilter, limit: int, after: int) -> FoundBack[Row]:
    """Rows of the query `heads`, by seq, the newest first."""
    places = _places(read, "event", event_bounds(which))
    asked, conditions = groups(which), _event_conditions(which)
    few = _few_events(read, which, asked)

    def between(most: int, below: int, above: int) -> list[Row]:
        seqs: Part = ("e.seq > ? AND e.seq < ?", (above, below))
        sets = few
        if few is None and asked:
            sets = _sets(asked[0], lambda _: ("delivery_event", "event > ? AND event < ?", (above, below)))
        among = [] if sets is None else [_among("e", sets)]
        return read(*_page(heads, "event e", [*among, seqs, *conditions], most))

    return found_back(between, limit, after, places, is_few=few is not None)


def search_deliveries(read: Read, rows: str, which: Filter, limit: int, after: int) -> FoundBack[Row]:
    """Rows of the query `rows`, by seq, the newest first."""
    places = _places(read, "delivery", bounds(which))
    conditions = _delivery_conditions(which)
    few = _few_deliveries(read, which)

    def between(most: int, below: int, above: int) -> list[Row]:
        seqs: Part = ("d.seq > ? AND d.seq < ?", (above, below))
        if few is not None:
            return read(*_page(rows, "delivery d", [_among("d", few), seqs, *conditions], most))
        table, narrowed = _walked_deliveries(which)
        return read(*_page(rows, table, [*narrowed, seqs, *conditions], most))

    return found_back(between, limit, after, places, is_few=few is not None)


def few_events(read: Read, which: EventFilter) -> Part | None:
    """The condition on event `e`, where few have to be looked at."""
    sets = _few_events(read, which, groups(which))
    return None if sets is None else joined([_among("e", sets), *_event_conditions(which)], "AND")


def few_deliveries(read: Read, which: Filter) -> Part | None:
    """The condition on delivery `d`, where few have to be looked at."""
    sets = _few_deliveries(read, which)
    return None if sets is None else joined([_among("d", sets), *_delivery_conditions(which)], "AND")


def _page(rows: str, table: str, conditions: Sequence[Part], most: int) -> Part:
    """The query for up to `most` rows. Their seqs are found first, so that nothing is made of others."""
    text, values = joined(conditions, "AND")
    name = table.split()[1]
    seqs = f"SELECT {name}.seq FROM {table} WHERE {text} ORDER BY {name}.seq DESC LIMIT ?"  # noqa: S608 - constants
    return f"{rows} WHERE {name}.seq IN ({seqs}) ORDER BY {name}.seq DESC", (*values, most)


def _places(read: Read, table: str, between: tuple[Part, Part]) -> tuple[int, int]:
    """The lowest and the highest seq of rows that may be selected."""
    (low, lows), (high, highs) = between
    ends = f"(SELECT min(seq) FROM {table}), (SELECT max(seq) FROM {table})"  # noqa: S608 - constants
    [(lowest, highest, first, last)] = read(f"SELECT {low}, {high}, {ends}", (*lows, *highs))
    return max(lowest, first or 1), min(highest, last or 0)


def _among(name: str, sets: Sequence[Part]) -> Part:
    """That the row is among those of these queries, which are collected first."""
    text, values = joined(sets, "UNION ALL")
    return f"{name}.seq IN ({text})", values


Place = tuple[str, str, tuple[Any, ...]]
"""An index of deliveries, and a condition that it serves, with its values."""


def _with_rule(rule: str) -> Place:
    return "delivery_rule", OF_RULE, (rule,)


def _in_state(state: State) -> Place:
    if state is State.RUNNING:
        return "delivery_running", IN_STATE[state], ()
    return ("delivery_waiting", UNSETTLED, ()) if state is State.PENDING else ("delivery_unusual", IN_STATE[state], ())


def _counted(places: Iterable[Place]) -> list[Part]:
    return [(f"delivery INDEXED BY {index} WHERE {text}", values) for index, text, values in dict.fromkeys(places)]


def _with_source(source: str) -> Part:
    return "event INDEXED BY event_source WHERE source = ?", (source,)


def _event_conditions(which: EventFilter) -> list[Part]:
    parts: list[Part] = []
    if which.source is not None:
        parts.append(("e.source = ?" if not groups(which) else "+e.source = ?", (which.source,)))
    if which.since is not None:
        parts.append(("e.received_at >= ?", (which.since,)))
    if which.until is not None:
        parts.append(("e.received_at < ?", (which.until,)))
    if which.dedupe_keys:
        parts.append((f"+e.dedupe_key IN ({', '.join('?' * len(which.dedupe_keys))})", which.dedupe_keys))
    parts += [_has(group) for group in groups(which)]
    if which.unmatched:
        parts.append((NEVER_MATCHED, ()))
    return parts


def _few_events(read: Read, which: EventFilter, asked: list[list[Chosen]]) -> list[Part] | None:
    """Queries for the seqs of few events, among which are all that the filter selects."""
    for group in asked:
        rule = group[0][1]
        if rule is not None:
            of_rule = _with_rule(rule)
            alone: Part = ("matched_alone WHERE rule = ?", (rule,))
            if are_few(read, FEW, [*_counted([of_rule]), alone]):
                return _sets(group, lambda _: of_rule)  # noqa: B023 - called here
        states = [state for state, _ in group if state is not None]
        if states and State.SUCCEEDED not in states and are_few(read, FEW, _counted(map(_in_state, states))):
            return _sets(group, _in_state)
    if which.source is not None:
        text, values = _with_source(which.source)
        if are_few(read, FEW, [(text, values)]):
            return [(f"SELECT seq FROM {text}", values)]  # noqa: S608 - constants
    return None


def _sets(group: list[Chosen], place: Callable[[Any], Place]) -> list[Part]:
    """Queries for the seqs of a group's events, each among the deliveries of a state that are in a place."""
    sets: list[Part] = []
    for state, rule in group:
        index, within, values = place(state)
        parts: list[Part] = [(within, values)]
        if state is not None:
            parts.append((f"+state = '{state.value}'", ()))
        if rule is not None:
            parts.append(("+rule = ?", (rule,)))
        text, given = joined(parts, "AND")
        sets.append((f"SELECT event FROM delivery INDEXED BY {index} WHERE {text}", given))  # noqa: S608 - constants
        if state is None and index == "delivery_rule":
            sets.append(("SELECT event FROM matched_alone WHERE rule = ?", (rule,)))
        elif state is None:
            sets.append((f"SELECT event FROM matched_alone WHERE rule = ? AND {within}", (rule, *values)))  # noqa: S608
    return sets


def _has(group: list[Chosen]) -> Part:
    """Whether event `e` is in a group, by its own deliveries."""
    sets = _sets(group, lambda _: ("delivery_event", "event = e.seq", ()))
    text, values = joined([(f"EXISTS ({text})", values) for text, values in sets], "OR")
    return f"({text})", values


def _delivery_conditions(which: Filter) -> list[Part]:
    parts: list[Part] = []
    if which.states:
        parts.append(("(" + " OR ".join(f"+d.state = '{state.value}'" for state in which.states) + ")", ()))
    for name in ("rule", "action", "target"):
        value = getattr(which, name)
        if value is not None:
            parts.append((f"+d.{name} = ?", (value,)))
    if which.since is not None:
        parts.append(("d.created_at >= ?", (which.since,)))
    if which.until is not None:
        parts.append(("d.created_at < ?", (which.until,)))
    event = "(SELECT {} FROM event WHERE seq = d.event) = ?"
    if which.event_id is not None:
        parts.append((event.format("id"), (which.event_id,)))
    if which.source is not None:
        parts.append((event.format("source"), (which.source,)))
    return parts


def _few_deliveries(read: Read, which: Filter) -> list[Part] | None:
    """Queries for the seqs of few deliveries, among which are all that the filter selects."""
    places: list[list[Place]] = []
    if which.event_id is not None:
        places.append([("delivery_event", "event = (SELECT seq FROM event WHERE id = ?)", (which.event_id,))])
    if which.rule is not None:
        places.append([_with_rule(which.rule)])
    if which.states and State.SUCCEEDED not in which.states:
        places.append([_in_state(state) for state in which.states])
    if which.source is not None:
        text, values = _with_source(which.source)
        if are_few(read, FEW, [(text, values)]):
            places.append([("delivery_event", f"event IN (SELECT seq FROM {text})", values)])  # noqa: S608 - constants
    for place in places:
        if are_few(read, FEW, _counted(place)):
            return [(f"SELECT seq FROM {text}", values) for text, values in _counted(place)]  # noqa: S608 - constants
    return None


def _walked_deliveries(which: Filter) -> tuple[str, list[Part]]:
    """The table to walk by seq, by the narrowest index that has the rows in this order."""
    if which.states == (State.DEAD,):
        return "delivery d INDEXED BY delivery_dead", [("d.state = 'dead'", ())]
    if which.rule is not None and which.states and _WAITING.issuperset(which.states):
        return "delivery d INDEXED BY delivery_waiting", [("d.rule = ?", (which.rule,)), (f"d.{UNSETTLED}", ())]
    if which.rule is not None:
        return "delivery d INDEXED BY delivery_rule", [("d.rule = ? AND d.rule <> ''", (which.rule,))]
    return "delivery d NOT INDEXED", []
