"""Lists of events and deliveries have the same rows, whichever way the store finds them."""

import random
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.domain.outcomes import Outcome
from router.store import search_back
from router.store.contract import Store
from router.store.postgres import filters as postgres_filters
from router.store.postgres import reader as postgres_reader
from router.store.postgres import search as postgres_search
from router.store.search_back import FoundBack
from router.store.sqlite import filters as sqlite_filters
from router.store.sqlite import reader as sqlite_reader
from router.store.sqlite import search as sqlite_search

NOW = 1_700_000_000_000
MINUTE = 60_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]
ENDS = {"dead": State.DEAD, "done": State.SUCCEEDED}
EVENT_FILTERS = [
    EventFilter(source=source, rule=rule, states=states, unmatched=unmatched, since=since, until=until)
    for source, (rule, states, unmatched), (since, until) in product(
        (None, "s1", "nobody"),
        (
            *[(rule, states, False) for rule in (None, "r1") for states in ((), (State.DEAD,), (State.SUCCEEDED,))],
            *[("r2", (State.PENDING, State.DEAD), False), ("alone", (), False), ("unmatched", (), False)],
            *[(None, (State.RUNNING,), False), (None, (), True), ("nobody", (), False)],
            *[(None, (State.PENDING,), True), ("alone", (), True), (None, (State.PENDING, State.RUNNING), False)],
        ),
        ((None, None), (NOW - 30 * MINUTE, None), (None, NOW - 30 * MINUTE), (NOW - 40 * MINUTE, NOW - 20 * MINUTE)),
    )
]
FILTERS = [
    Filter(source=source, rule=rule, target=target, states=states, since=since, until=until)
    for source, rule, target, states, (since, until) in product(
        (None, "s1", "nobody"),
        (None, "r1"),
        (None, "done"),
        ((), (State.DEAD,), (State.RUNNING,), (State.PENDING, State.RUNNING)),
        ((None, None), (NOW - 40 * MINUTE, NOW - 20 * MINUTE)),
    )
]


def id_at(at: int, number: int) -> str:
    """An id with this time. `uuid7` would continue from the latest time that any test has used."""
    text = f"{at:012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-{number:012x}"


@pytest.fixture
def filled(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> Iterator[Store]:
    """A store with 60 events of one hour, matched by up to two rules, with deliveries in all states."""
    chosen = random.Random(7)
    for minute in range(60):
        at = NOW - (60 - minute) * MINUTE
        rules = chosen.sample(["r1", "r2", "unmatched"], chosen.randint(0, 2))
        targets = chosen.choices(["dead", "done", "wait"], k=len(rules))
        plan = [
            planned_delivery(target, rule=rule, id=id_at(at, number))
            for number, (target, rule) in enumerate(zip(targets, rules, strict=True))
        ]
        made = event(id=id_at(at, 0), source=f"s{minute % 3}", received_at=at)
        store.append(made, plan, "h", matched=[*rules, *(["alone"] if minute % 7 == 0 else [])]).result(60)
    for target, state in ENDS.items():
        for claim in store.claim({target: 100}, NOW).result(60):
            outcome = Outcome.succeeded() if state is State.SUCCEEDED else Outcome.failed("no")
            store.settle([Settlement(claim.delivery.id, claim.token, outcome, state, NOW, NOW)]).result(60)
    store.claim({"wait": 3}, NOW).result(60)
    yield store


def test_a_filter_finds_the_same_events_in_small_and_large_stores(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [filled.event_heads(which, limit=99, newest_first=True) for which in EVENT_FILTERS]
    few_deliveries = [filled.deliveries(which, limit=999) for which in FILTERS]
    for module in (sqlite_reader, postgres_reader):
        monkeypatch.setattr(module, "MANY", 1)

    for which, expected in zip(EVENT_FILTERS, few, strict=True):
        assert filled.event_heads(which, limit=99, newest_first=True) == expected, which
        assert filled.count_events(which) == len(expected), which
    for chosen, found in zip(FILTERS, few_deliveries, strict=True):
        assert filled.deliveries(chosen, limit=999) == found, chosen
        assert filled.count(chosen) == len(found), chosen
    assert sum(map(bool, few)) > 60
    assert sum(map(bool, few_deliveries)) > 25


@pytest.mark.parametrize(("few", "first_rows"), [(postgres_search.FEW, search_back.FIRST_ROWS), (1, 7)])
def test_a_search_finds_what_a_list_has(
    filled: Store, monkeypatch: pytest.MonkeyPatch, few: int, first_rows: int
) -> None:
    for name in ("SECONDS", "EMPTY_SECONDS"):  # so that the speed of the machine does not matter
        monkeypatch.setattr(search_back, name, 60.0)
    monkeypatch.setattr(search_back, "FIRST_ROWS", first_rows)
    monkeypatch.setattr(search_back, "MOST_ROWS", 2 * first_rows)
    for module in (sqlite_search, postgres_search):
        monkeypatch.setattr(module, "FEW", few)

    for which in EVENT_FILTERS:
        listed = filled.event_heads(which, limit=99, newest_first=True)
        assert filled.search_events(which, 99) == FoundBack(listed), which
        assert filled.search_events(which, 2).rows == listed[:2], which
        if len(listed) > 2:
            assert filled.search_events(which, 99, listed[1].seq).rows == listed[2:], which
        assert filled.count_events(which, 2) == min(2, len(listed)), which
    for chosen in FILTERS:
        found = filled.deliveries(chosen, limit=999, newest_first=True)
        assert filled.search_deliveries(chosen, 999) == FoundBack(found), chosen
        if len(found) > 2:
            assert filled.search_deliveries(chosen, 999, found[1].seq).rows == found[2:], chosen
        assert filled.count(chosen, 2) == min(2, len(found)), chosen
    event_id = filled.event_heads(limit=9)[5].id
    assert filled.search_deliveries(Filter(event_id=event_id), 9).rows == filled.deliveries(Filter(event_id=event_id))


def test_a_list_can_start_at_a_lowest_row(filled: Store) -> None:
    heads = filled.event_heads(limit=99)
    middle = heads[30].seq

    assert filled.event_heads(limit=99, above=middle) == heads[31:]
    assert filled.event_heads(limit=5, above=middle, newest_first=True) == heads[:-6:-1]
    assert [one.seq for one in filled.stored_events(limit=99, above=middle)] == [one.seq for one in heads[31:]]
    deliveries = filled.deliveries(limit=999)
    assert filled.deliveries(limit=999, above=deliveries[9].seq, newest_first=True) == deliveries[:9:-1]


def test_rows_with_ids_ahead_of_a_clock_set_back_are_found(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    later = NOW + 60 * MINUTE
    store.append(event(id=id_at(later, 1), received_at=later), [planned_delivery(id=id_at(later, 1))], "h").result(60)
    back = event(id=id_at(later, 2), received_at=NOW)  # ids never decrease
    store.append(back, [planned_delivery(id=id_at(later, 2))], "h").result(60)

    assert [one.id for one in store.event_heads(EventFilter(until=NOW + MINUTE))] == [back.id]
    assert [one.id for one in store.event_heads(EventFilter(since=NOW, until=NOW + MINUTE))] == [back.id]
    assert [one.event_id for one in store.deliveries(Filter(until=NOW + MINUTE))] == [back.id]


def test_rows_after_many_with_ids_ahead_of_the_clock_are_found(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite_filters, postgres_filters):
        monkeypatch.setattr(module, "SETTLING", 2)
    ahead = NOW + 60 * MINUTE
    for number in range(3):
        one = event(id=id_at(ahead, number), received_at=ahead)
        store.append(one, [planned_delivery(id=id_at(ahead, number))], "h").result(60)
    back = event(id=id_at(NOW, 3), received_at=NOW)  # after a restart ids follow the corrected clock
    store.append(back, [planned_delivery(id=id_at(NOW, 3))], "h").result(60)

    assert [one.id for one in store.event_heads(EventFilter(until=NOW + MINUTE))] == [back.id]
    assert [one.id for one in store.search_events(EventFilter(until=NOW + MINUTE), 9).rows] == [back.id]
    assert store.count_events(EventFilter(until=NOW + MINUTE), 9) == 1
    assert [one.event_id for one in store.deliveries(Filter(until=NOW + MINUTE))] == [back.id]
    assert store.count(Filter(until=NOW + MINUTE), 9) == 1
