"""A poll in the store: its state, seen ids and events are written in one transaction, on every kind of store."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import StoreError
from router.domain.events import Event, Routing
from router.domain.polls import KEPT_IDS_MS, PolledEvent, PollResult, PollState, item_id
from router.store.contract import Store
from tests.store.conftest import NOW

Make = Callable[..., PlannedDelivery]
MakeEvent = Callable[..., Event]

FIRST = PollState("jobs", "s1", "t1", "f", started=True, cursor="c1", etag='"e"', events=1)


def take(store: Store, before: str, state: PollState, *seen: str, now: int = NOW, **more: object) -> bool:
    """Store the result of a poll that saw these items."""
    return store.take_poll(PollResult(before, state, [item_id(one) for one in seen], now=now, **more)).result(60)  # type: ignore[arg-type]


def known(store: Store, *items: str, series: str = "s1") -> set[str]:
    """The items whose ids the store knows."""
    found = store.known_items(series, [item_id(one) for one in items])
    return {one for one in items if item_id(one) in found}


def polled(event: Event, *plan: PlannedDelivery, window: int = 0) -> PolledEvent:
    """An event made by a poll."""
    return PolledEvent(event, plan, Routing("r1", tuple(one.rule for one in plan)), window)


def test_a_poll_is_kept_with_its_ids_its_events_and_their_deliveries(
    store: Store, event: MakeEvent, planned_delivery: Make
) -> None:
    made = event(source="jobs")

    assert take(store, "", FIRST, "a", "b", events=[polled(made, planned_delivery("ci", rule="done"))])

    assert store.polls() == [FIRST]
    assert known(store, "a", "b", "c") == {"a", "b"}
    assert store.event(made.id) is not None
    [claim] = store.claim({"ci": 1}, NOW).result(60)
    assert claim.event.id == made.id
    routing = store.routing(made.id)
    assert routing is not None
    assert routing.matched == ("done",)


def test_one_of_two_polls_at_the_same_time_counts(store: Store, event: MakeEvent) -> None:
    take(store, "", FIRST, "a")
    late = replace(FIRST, token="t3", cursor="late")

    assert take(store, "t1", replace(FIRST, token="t2", cursor="c2"), "b", events=[polled(event(id="mine"))])
    assert not take(store, "t1", late, "c", events=[polled(event(id="theirs"))])
    assert not take(store, "", late, "c", events=[polled(event(id="theirs"))])

    assert [state.cursor for state in store.polls()] == ["c2"]
    assert known(store, "a", "b", "c") == {"a", "b"}
    assert store.event("mine") is not None
    assert store.event("theirs") is None


def test_a_poll_whose_result_is_stored_twice_counts_once(
    store: Store, event: MakeEvent, planned_delivery: Make
) -> None:
    result = PollResult("", FIRST, [item_id("a")], [polled(event(id="one"), planned_delivery("ci"))], now=NOW)

    assert store.take_poll(result).result(60)
    assert store.take_poll(result).result(60)

    assert len(store.events()) == 1
    assert len(store.claim({"ci": 2}, NOW).result(60)) == 1


def test_polls_of_several_sources_in_one_transaction_count_separately(store: Store, event: MakeEvent) -> None:
    take(store, "", FIRST)
    other = replace(FIRST, source="news", series="s2", token="n1")
    jobs = [
        PollResult("wrong", replace(FIRST, token="t2"), events=[polled(event(id="no"))], now=NOW),
        PollResult("", other, [item_id("x")], [polled(event(id="yes"))], now=NOW),
        PollResult("t1", replace(FIRST, token="t3"), events=[polled(event(id="too"))], now=NOW),
    ]

    results = [future.result(60) for future in [store.take_poll(job) for job in jobs]]

    assert results == [False, True, True]
    assert [(state.source, state.token) for state in store.polls()] == [("jobs", "t3"), ("news", "n1")]
    assert [store.event(id_) is not None for id_ in ("no", "yes", "too")] == [False, True, True]


def test_a_poll_whose_event_can_not_be_stored_stores_nothing(store: Store, event: MakeEvent) -> None:
    broken = event(source="jobs", headers=(("X", "\ud800"),))

    with pytest.raises((StoreError, UnicodeEncodeError)):
        take(store, "", FIRST, "a", events=[polled(event(id="whole")), polled(broken)])

    assert store.polls() == []
    assert known(store, "a") == set()
    assert store.event("whole") is None


def test_a_polled_event_with_a_known_dedupe_key_is_not_stored(
    store: Store, event: MakeEvent, planned_delivery: Make
) -> None:
    take(store, "", FIRST, events=[polled(event(id="one", dedupe_key="k"), planned_delivery(), window=60_000)])
    second = polled(event(id="two", dedupe_key="k"), planned_delivery(), window=60_000)

    assert take(store, "t1", replace(FIRST, token="t2"), events=[second])

    assert store.event("two") is None


def test_ids_are_removed_seven_days_after_they_were_last_seen(store: Store) -> None:
    take(store, "", FIRST, "stays", "goes")
    later = NOW + KEPT_IDS_MS // 2
    take(store, "t1", replace(FIRST, token="t2"), "stays", now=later, whole=True)
    assert known(store, "stays", "goes") == {"stays", "goes"}

    take(store, "t2", replace(FIRST, token="t3"), now=NOW + KEPT_IDS_MS + 1, whole=True)

    assert known(store, "stays", "goes") == {"stays"}


def test_an_incomplete_answer_removes_no_ids(store: Store) -> None:
    take(store, "", FIRST, "a")

    take(store, "t1", replace(FIRST, token="t2"), now=NOW + 2 * KEPT_IDS_MS)

    assert known(store, "a") == {"a"}


def test_a_source_that_starts_again_knows_no_earlier_ids(store: Store) -> None:
    take(store, "", FIRST, "a")

    take(store, "t1", replace(FIRST, token="t2", series="s2"), "b", whole=True)

    assert known(store, "a", "b", series="s2") == {"b"}
    assert known(store, "a") == set()


def test_many_earlier_ids_are_removed_in_steps(store: Store) -> None:
    many = [str(number) for number in range(2500)]
    take(store, "", FIRST, *many)
    state = replace(FIRST, series="s2", token="t2")
    left = []

    before = "t1"
    for number in range(4):
        state = replace(state, token=f"u{number}")
        take(store, before, state, "x", whole=True)
        before = state.token
        left.append(len(known(store, *many)))

    assert left == [1500, 500, 0, 0]
    assert known(store, "x", series="s2") == {"x"}


def test_the_state_of_a_source_that_left_the_rules_is_removed(store: Store) -> None:
    take(store, "", FIRST, "a")
    take(store, "", replace(FIRST, source="news", series="s2"), "b")

    store.forget_polls(["jobs"]).result(60)

    assert [state.source for state in store.polls()] == ["news"]
    assert known(store, "a") == set()
    assert known(store, "b", series="s2") == {"b"}


def test_any_text_of_a_service_can_be_stored(store: Store) -> None:
    odd = replace(FIRST, cursor="nul \0, quote ' and \U0001f600", etag='W/"é"')

    take(store, "", odd)

    assert store.polls() == [odd]


def test_a_state_of_a_newer_version_is_read() -> None:
    text = FIRST.as_text()[:-1] + ',"later": 1}'

    assert PollState.from_text("jobs", "s1", "t1", text) == FIRST
