"""Recent events and deliveries are counted by time and by rule, or estimated if there are many."""

from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import pytest

from router.domain.deliveries import Claim, PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.store import activity as limits
from router.store.contract import Store

NOW = 1_700_000_000_000
MINUTE = 60_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def id_at(at: int, number: int = 0) -> str:
    """An id with this time (ms)."""
    text = f"{at:012x}7{number:019x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def test_events_and_deliveries_are_counted_by_time(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    plans: list[Any] = []
    for number, (minute, deliveries) in enumerate([(0, 1), (0, 0), (2, 2), (4, 1), (9, 1)]):
        at = NOW + minute * MINUTE + 30_000
        plan = [planned_delivery(id=id_at(at, 100 * number + n + 1)) for n in range(deliveries)]
        plans.append(store.append(event(id=id_at(at, 100 * number), received_at=at), plan, "r1"))
        plans[-1].result(60)

    found = store.activity([NOW + minute * MINUTE for minute in range(5)])

    assert [bucket.begins_at for bucket in found] == [NOW + minute * MINUTE for minute in range(5)]
    assert [bucket.events for bucket in found] == [2, 0, 1, 0, 2]  # the last interval is open
    assert [bucket.deliveries for bucket in found] == [1, 0, 2, 0, 2]
    assert all(bucket.is_exact and not bucket.dead for bucket in found)
    assert [bucket.events for bucket in store.activity([NOW + 3 * MINUTE, NOW + 20 * MINUTE])] == [2, 0]


def test_dead_deliveries_count_at_the_time_of_their_planning(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for minute in (0, 1):
        at = NOW + minute * MINUTE
        plan = [planned_delivery(id=id_at(at, n + 1)) for n in range(2)]
        store.append(event(id=id_at(at), received_at=at), plan, "r1").result(60)
    claims: list[Claim] = store.claim({"ci": 2}, NOW + 2 * MINUTE).result(60)
    done = [
        Settlement(claim.delivery.id, claim.token, Outcome.failed("gone", 410), State.DEAD, NOW + 3 * MINUTE, 0)
        for claim in claims
    ]
    store.settle(done).result(60)

    assert [bucket.dead for bucket in store.activity([NOW, NOW + MINUTE])] == [2, 0]


def test_an_empty_store_has_no_activity(store: Store) -> None:
    assert [(bucket.events, bucket.deliveries) for bucket in store.activity([NOW, NOW + 1])] == [(0, 0), (0, 0)]
    assert store.recent_matches(["deploy"]).since is None


def test_the_count_of_many_events_is_estimated(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EXACT", 3)
    done = [
        store.append(event(id=id_at(NOW + number, number), received_at=NOW + number), (), "r1") for number in range(8)
    ]
    wait(done, 60)

    [first, second] = store.activity([NOW, NOW + 6])

    assert (first.events, first.is_exact) == (6, False)
    assert (second.events, second.is_exact) == (2, True)


def test_the_matches_of_each_rule_are_counted_by_event(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    ids = [id_at(NOW + number, number) for number in range(4)]
    store.append(
        event(id=ids[0]), [planned_delivery(rule="a"), planned_delivery(rule="a", action="x")], "r1", matched=("a",)
    ).result(60)
    store.append(event(id=ids[1]), [planned_delivery(rule="a")], "r1", matched=("a", "only\0replies")).result(60)
    store.append(event(id=ids[2]), (), "r1", matched=("only\0replies",)).result(60)
    store.append(event(id=ids[3]), (), "r1").result(60)

    found = store.recent_matches(["a", "only\0replies", "never"])

    assert found.since == NOW
    assert {rule: (one.events, one.last_event) for rule, one in found.by_rule.items()} == {
        "a": (2, ids[1]),
        "only\0replies": (2, ids[2]),
    }
