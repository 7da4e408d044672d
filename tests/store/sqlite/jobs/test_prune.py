"""Retention: promises of the store protocols, on every kind of store."""

from collections.abc import Callable

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store import limits
from router.store.contract import Store

NOW = 1_700_000_000_000
DAY = 86_400_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def put(store: Store, event: Event, *plan: PlannedDelivery, ruleset: str = "r1") -> str:
    """Append an event, wait for the commit, and return the event's id."""
    return store.append(event, plan, ruleset).result(10).event_id


def end(store: Store, state: State) -> None:
    """Claim all due deliveries and settle them with this state."""
    for claim in store.claim({"ci": 5000}, NOW + 1000 * DAY).result(10):
        outcome = Outcome.succeeded() if state is State.SUCCEEDED else Outcome.failed("x")
        assert store.settle([Settlement(claim.delivery.id, claim.token, outcome, state, NOW, NOW)]).result(10)[0]


def prune(store: Store, before: int, dead_before: int | None = None) -> int:
    """Prune in steps until nothing is left to remove. Return the number of removed events."""
    after: int | None = 0
    removed = steps = 0
    while after is not None:
        done = store.prune(before, before if dead_before is None else dead_before, after).result(10)
        assert done.next_after is None or done.next_after > after
        removed, after, steps = removed + done.events, done.next_after, steps + 1
        assert steps < 1000
    return removed


def test_old_settled_events_are_pruned_with_all_their_rows(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    old = put(store, event(), planned_delivery(), planned_delivery(action="b"))
    end(store, State.SUCCEEDED)
    young = put(store, event(received_at=NOW + DAY), planned_delivery())
    ids = [d.id for d in store.deliveries()]
    end(store, State.SUCCEEDED)

    assert prune(store, NOW + DAY) == 1

    assert store.event(old) is None
    assert [one.id for one in store.events()] == [young]
    assert [d.id for d in store.deliveries()] == ids[2:]
    assert [len(store.attempts(one)) for one in ids] == [0, 0, 1]
    assert prune(store, NOW + DAY) == 0


def test_an_old_event_without_deliveries_is_pruned(store: Store, event: MakeEvent) -> None:
    put(store, event())

    assert prune(store, NOW) == 0
    assert prune(store, NOW + 1) == 1


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
def test_unsettled_deliveries_are_kept_at_any_age(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, state: State
) -> None:
    put(store, event(), planned_delivery(), planned_delivery(action="b", target="other"))
    end(store, State.SUCCEEDED)  # one of two
    if state is State.RUNNING:
        store.claim({"other": 1}, NOW).result(10)

    assert prune(store, NOW + 900 * DAY) == 0
    assert len(store.deliveries()) == 2


def test_blocked_deliveries_are_kept(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    for _ in range(2):
        put(store, event(), planned_delivery(order_key="[1]"))
    [claim] = store.claim({"ci": 5}, NOW).result(10)

    assert prune(store, NOW + DAY) == 0
    done = Settlement(claim.delivery.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
    store.settle([done]).result(10)

    assert prune(store, NOW + DAY) == 1
    assert len(store.claim({"ci": 5}, NOW).result(10)) == 1


def test_dead_deliveries_have_their_own_retention(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    dead = put(store, event(received_at=NOW + DAY), planned_delivery())
    end(store, State.DEAD)

    assert prune(store, NOW + 9 * DAY, dead_before=NOW + DAY) == 1
    assert [one.id for one in store.events()] == [dead]
    assert prune(store, NOW + 9 * DAY, dead_before=NOW + 2 * DAY) == 1


def test_cancelled_deliveries_are_pruned_like_succeeded_ones(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    store.cancel([store.deliveries()[0].id], NOW).result(10)

    assert prune(store, NOW + DAY, dead_before=0) == 1


def test_a_replayed_delivery_is_not_pruned_during_its_attempt(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    end(store, State.DEAD)
    store.replay([store.deliveries()[0].id], NOW).result(10)

    assert prune(store, NOW + DAY) == 0
    end(store, State.SUCCEEDED)
    assert prune(store, NOW + DAY) == 1


@pytest.fixture
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PRUNED_LOOK", 100)
    monkeypatch.setattr(limits, "PRUNED_AT_ONCE", 10)


@pytest.mark.usefixtures("_small_steps")
def test_pruning_skips_kept_events_and_comes_to_an_end(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    targets = ["never" if n % 3 == 0 else "ci" for n in range(250)]  # several steps; a third stays pending
    for future in [store.append(event(), [planned_delivery(target)], "r1") for target in targets]:
        future.result(10)
    end(store, State.SUCCEEDED)

    assert prune(store, NOW + DAY) == 166
    assert len(store.events(limit=500)) == 84
    assert prune(store, NOW + DAY) == 0


@pytest.mark.usefixtures("_small_steps")
def test_pruning_stops_at_the_first_young_event(store: Store, event: MakeEvent) -> None:
    for n in range(120):
        store.append(event(received_at=NOW + DAY + n), [], "r1").result(10)

    assert store.prune(NOW + DAY, NOW + DAY).result(10).next_after is None


def test_a_delivery_number_is_not_reused_after_pruning(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    end(store, State.SUCCEEDED)
    [seq] = [d.seq for d in store.deliveries()]

    prune(store, NOW + DAY)
    put(store, event(), planned_delivery())

    assert store.deliveries()[0].seq > seq


def texts(store: Store) -> list[str]:
    """The hashes of the rulesets whose texts are kept."""
    return [name for name in ("r1", "r2", "r3") if store.ruleset(name)]


def test_a_ruleset_text_is_pruned_once_no_event_needs_it(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(received_at=NOW), planned_delivery())
    end(store, State.SUCCEEDED)
    store.put_ruleset(RulesetText("r2", "two", "/"), NOW + DAY).result(10)
    put(store, event(received_at=NOW + 5 * DAY), planned_delivery(), ruleset="r2")
    end(store, State.SUCCEEDED)
    store.put_ruleset(RulesetText("r3", "three", "/"), NOW + 10 * DAY).result(10)

    prune(store, NOW)
    assert texts(store) == ["r1", "r2", "r3"]
    prune(store, NOW + 2 * DAY)  # removes the event that r1 planned
    assert texts(store) == ["r2", "r3"]
    prune(store, NOW + 20 * DAY)
    assert texts(store) == ["r3"]  # the current one stays without any event
    assert store.events() == []


def test_a_ruleset_text_is_kept_while_a_dead_delivery_needs_it(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    end(store, State.DEAD)
    store.put_ruleset(RulesetText("r2", "two", "/"), NOW + DAY).result(10)
    put(store, event(received_at=NOW + 50 * DAY), planned_delivery(), ruleset="r2")

    prune(store, NOW + 40 * DAY, dead_before=0)

    assert texts(store) == ["r1", "r2"]


def test_a_ruleset_text_that_is_current_again_is_kept(store: Store, event: MakeEvent) -> None:
    store.put_ruleset(RulesetText("r2", "two", "/"), NOW + DAY).result(10)
    r1 = store.ruleset("r1")
    assert r1 is not None
    store.put_ruleset(r1, NOW + 2 * DAY).result(10)

    put(store, event(received_at=NOW + 50 * DAY))
    prune(store, NOW + 50 * DAY)

    assert texts(store) == ["r1"]


def test_the_ruleset_text_of_a_reroute_is_kept_as_long_as_its_event(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    one = put(store, event(), planned_delivery())
    end(store, State.SUCCEEDED)
    plan = [planned_delivery(action="b", id=uuid7(NOW + 30 * DAY))]
    store.plan_again(one, plan, RulesetText("r2", "two", "/"), NOW + 30 * DAY).result(10)
    put(store, event(received_at=NOW + 60 * DAY))

    prune(store, NOW + 50 * DAY)
    assert texts(store) == ["r1", "r2"]
    end(store, State.SUCCEEDED)
    prune(store, NOW + 50 * DAY)
    assert texts(store) == ["r1"]


def test_a_ruleset_text_is_kept_one_day_longer_in_case_the_clock_is_set(store: Store, event: MakeEvent) -> None:
    store.put_ruleset(RulesetText("r2", "two", "/"), NOW + DAY).result(10)
    put(store, event(received_at=NOW + 2 * DAY))
    prune(store, NOW + DAY)
    assert texts(store) == ["r1", "r2"]

    prune(store, NOW + 3 * DAY)
    put(store, event(received_at=NOW + 2 * DAY + 1))
    prune(store, NOW + DAY)
    assert texts(store) == ["r2"]
