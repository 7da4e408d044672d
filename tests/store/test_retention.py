"""Retention removes old events that are no longer needed."""

import math
from collections.abc import Callable

import pytest

from router.daemon.retention import Retention
from router.daemon.settings import retention
from router.domain.deliveries import Claim, PlannedDelivery, Settlement, State
from router.domain.errors import StartError
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.outcomes import Outcome
from router.store.contract import Store

DAY = 86_400_000
NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def _settle(store: Store, claim: Claim, state: State) -> None:
    outcome = Outcome.succeeded() if state is State.SUCCEEDED else Outcome.failed("no")
    done = Settlement(claim.delivery.id, claim.token, outcome, state, NOW, NOW)
    assert store.settle([done]).result(60)[0]


def test_old_events_are_pruned_unless_deliveries_are_pending(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    kept: dict[str, Event] = {}
    for age in (1, 8, 31):
        for name, plan, state in (
            ("unmatched", [], None),
            ("done", [planned_delivery("t")], State.SUCCEEDED),
            ("dead", [planned_delivery("t")], State.DEAD),
            ("pending", [planned_delivery("other")], None),
        ):
            made = event(received_at=NOW - age * DAY)
            store.append(made, plan, "r1").result(60)
            for claim in store.claim({"t": 10}, NOW).result(60):
                assert state is not None
                _settle(store, claim, state)
            kept[f"{name} {age}"] = made

    removed = Retention(store, 7 * 86400.0, 30 * 86400.0, lambda: NOW).sweep()

    left = {made.id for made in store.events()}
    assert {name for name, made in kept.items() if made.id not in left} == {
        *("unmatched 8", "done 8", "unmatched 31", "done 31", "dead 31")
    }
    assert removed == 5
    assert all(store.event(d.event_id) for d in store.deliveries())


def test_old_events_behind_many_kept_ones_are_pruned(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    old = NOW - 10 * DAY
    futures = [store.append(event(received_at=old), [planned_delivery("wait")], "r1") for _ in range(1500)]
    futures += [store.append(event(received_at=old), [], "r1") for _ in range(1500)]
    for future in futures:
        future.result(60)

    told: list[int] = []
    assert Retention(store, 86400.0, 86400.0, lambda: NOW, told.append).sweep() == 1500
    assert sum(told) == 1500 > max(told)
    assert store.count(Filter(states=(State.PENDING,))) == 1500
    assert len(store.events(limit=5000)) == 1500


def test_nothing_is_pruned_when_events_are_kept_for_ever(store: Store, event: MakeEvent) -> None:
    store.append(event(received_at=1), [], "r1").result(60)

    forever = Retention(store, None, 1.0, lambda: NOW)
    forever.start()
    forever.stop()

    assert forever.sweep() == 0
    assert len(store.events()) == 1


def test_retention_is_given_as_a_duration() -> None:
    assert retention("7d") == 7 * 86400
    assert retention("forever") is None
    with pytest.raises(StartError, match="expected forever, or a duration"):
        retention("7")


def test_a_source_can_keep_its_events_for_a_shorter_or_longer_time(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    made: dict[tuple[str, int, str], Event] = {}
    for source in ("short", "long", "forever", "other"):
        for days in (1, 8, 40):
            for name, plan in (("done", []), ("pending", [planned_delivery("other")])):
                one = made[source, days, name] = event(source=source, received_at=NOW - days * DAY)
                store.append(one, plan, "r1").result(60)
    own = {"short": 43_200.0, "long": 30 * 86400.0, "forever": math.inf, "gone": 1.0}

    removed = Retention(store, 7 * 86400.0, None, lambda: NOW, sources=lambda: own).sweep()

    left = {one.id for one in store.events()}
    gone = {key[:2] for key, one in made.items() if one.id not in left}
    assert gone == {("short", 1), ("short", 8), ("short", 40), ("long", 40), ("other", 8), ("other", 40)}
    assert all(one.id in left for key, one in made.items() if key[2] == "pending")
    assert removed == len(gone)


def test_a_source_can_limit_the_age_of_its_events_when_others_stay_for_ever(store: Store, event: MakeEvent) -> None:
    for source in ("short", "other"):
        store.append(event(source=source, received_at=NOW - DAY), [], "r1").result(60)

    assert Retention(store, None, None, lambda: NOW, sources=lambda: {"short": 60.0}).sweep() == 1
    assert [one.source for one in store.events()] == ["other"]


def test_a_reload_changes_how_long_a_source_keeps_its_events(store: Store, event: MakeEvent) -> None:
    own: dict[str, float] = {}
    retention = Retention(store, None, None, lambda: NOW, sources=lambda: own)
    store.append(event(source="s", received_at=NOW - DAY), [], "r1").result(60)

    assert retention.sweep() == 0
    own["s"] = 60.0
    assert retention.sweep() == 1


def test_the_list_of_sources_has_no_duplicates(store: Store, event: MakeEvent) -> None:
    assert store.event_sources() == []
    for source in ("b", "a", "b", "c-1", "a"):
        store.append(event(source=source), [], "r1").result(60)

    assert store.event_sources() == ["a", "b", "c-1"]
