"""Holds in the store: pauses by command, holds of the rules file, and marked deliveries."""

from collections.abc import Callable

import pytest

from router.domain.deliveries import Delivery, PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.holds import Hold, HoldCause, HoldKind
from router.domain.outcomes import Outcome
from router.domain.summaries import Depth
from router.store.contract import Finding, Store
from tests.store.conftest import NOW

Make = Callable[..., PlannedDelivery]
MakeEvent = Callable[..., Event]
TARGET, RULE, ACTION = HoldKind.TARGET, HoldKind.RULE, HoldKind.ACTION


def active(store: Store, now: int = NOW) -> list[Hold]:
    """All active holds."""
    return [hold for holds in store.holds().active(now).values() for hold in holds]


def put(store: Store, event: Event, *plans: PlannedDelivery) -> None:
    """Append an event."""
    store.append(event, plans, "r1").result(60)


def delivery(store: Store, plan: PlannedDelivery) -> Delivery:
    """Read a delivery from the store."""
    found = store.delivery(plan.id)
    assert found is not None
    return found


def broken(store: Store) -> list[Finding]:
    """The broken invariants that `store check` finds."""
    return [finding for finding in store.check(lambda *_: None) if finding.broken]


def test_a_pause_by_command_begins_and_ends(store: Store) -> None:
    told: list[int] = []
    store.on_holds(lambda: told.append(1))

    store.pause("ci", None, NOW).result(60)
    assert active(store) == [Hold(TARGET, "ci", HoldCause.OPERATOR, NOW)]

    assert store.resume("ci", NOW + 5).result(60)
    assert not store.resume("ci", NOW + 6).result(60)
    assert active(store) == []
    assert store.holds().held_ms("ci", "r", "a", 0, NOW + 100) == 5
    assert len(told) == 3


def test_a_second_pause_replaces_the_end_but_not_the_beginning(store: Store) -> None:
    store.pause("ci", NOW + 1000, NOW).result(60)
    store.pause("ci", NOW + 9000, NOW + 10).result(60)

    assert active(store, NOW + 5000) == [Hold(TARGET, "ci", HoldCause.OPERATOR, NOW, until=NOW + 9000)]

    store.pause("ci", None, NOW + 20).result(60)
    assert active(store, NOW + 10_000) == [Hold(TARGET, "ci", HoldCause.OPERATOR, NOW)]


def test_time_between_two_pauses_does_not_count_as_held(store: Store) -> None:
    store.pause("ci", NOW + 100, NOW).result(60)
    store.pause("ci", None, NOW + 500).result(60)

    assert store.holds().held_ms("ci", "r", "a", 0, NOW + 1000) == 100 + 500
    assert store.resume("ci", NOW + 700).result(60)
    assert not store.resume("ci", NOW + 900).result(60)


def test_resuming_a_pause_that_is_over_says_that_nothing_was_paused(store: Store) -> None:
    store.pause("ci", NOW + 100, NOW).result(60)

    assert not store.resume("ci", NOW + 500).result(60)
    assert store.holds().held_ms("ci", "r", "a", 0, NOW + 1000) == 100


def test_the_holds_of_a_new_rules_file_replace_the_old_ones(store: Store) -> None:
    store.pause("ci", None, NOW).result(60)
    store.put_file_holds([(TARGET, "ci"), (RULE, "r")], NOW + 1).result(60)
    store.put_file_holds([(TARGET, "ci"), (ACTION, "r/a")], NOW + 2).result(60)

    assert store.holds().by_file == {(TARGET, "ci"), (ACTION, "r/a")}
    assert [hold.began_at for hold in active(store, NOW + 3) if hold.cause is HoldCause.FILE] == [NOW + 2, NOW + 1]
    assert store.resume("ci", NOW + 3).result(60)
    assert store.holds().by_file == {(TARGET, "ci"), (ACTION, "r/a")}  # a command does not end a hold of the file


def test_marked_deliveries_are_not_claimed_and_do_not_count_as_the_oldest(
    store: Store, event: MakeEvent, planned_delivery: Make
) -> None:
    mine, others = planned_delivery(), planned_delivery(action="other")
    put(store, event(received_at=NOW - 1000), mine)
    put(store, event(), others)

    assert store.mark_held("deploy", "forward").result(60) is None

    assert [claim.delivery.id for claim in store.claim({"ci": 9}, NOW).result(60)] == [others.id]
    assert store.depths() == [Depth("ci", held=1, running=1)]
    assert store.due() == {}
    assert store.marked_actions() == [("deploy", "forward")]
    assert delivery(store, mine).state is State.PENDING

    assert store.let_go("deploy", "forward").result(60) is False
    assert [claim.delivery.id for claim in store.claim({"ci": 9}, NOW).result(60)] == [mine.id]
    assert not broken(store)


def test_removing_marks_reports_due_deliveries(store: Store, event: MakeEvent, planned_delivery: Make) -> None:
    put(store, event(), planned_delivery())
    store.mark_held("deploy", None).result(60)
    heard: list[dict[str, int]] = []
    store.on_due(lambda due: heard.append(dict(due)))

    store.let_go("deploy", "forward").result(60)

    assert heard == [{"ci": NOW}]


def test_deliveries_are_marked_in_steps(
    store: Store, event: MakeEvent, planned_delivery: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.limits.MARKED", 2)
    put(store, event(), *(planned_delivery() for _ in range(5)))

    steps, after = 0, 0
    while (following := store.mark_held("deploy", None, after).result(60)) is not None:
        assert following > after
        steps, after = steps + 1, following
    assert steps == 2
    assert store.depths() == [Depth("ci", held=5)]
    while store.let_go("deploy", "forward").result(60):
        pass
    assert store.depths() == [Depth("ci", due=5, oldest_at=NOW)]


def test_a_held_delivery_also_holds_later_ones_of_its_order(
    store: Store, event: MakeEvent, planned_delivery: Make
) -> None:
    plans = [planned_delivery(order_key="k") for _ in range(3)]
    for plan in plans:
        put(store, event(), plan)
    store.mark_held("deploy", None).result(60)

    assert store.claim({"ci": 9}, NOW).result(60) == []
    assert [delivery(store, plan).blocked for plan in plans] == [False, True, True]
    store.cancel([plans[0].id], NOW).result(60)
    assert [delivery(store, plan).blocked for plan in plans] == [False, False, True]
    assert store.claim({"ci": 9}, NOW).result(60) == []  # the next one of the order is held too
    assert not broken(store)

    store.let_go("deploy", "forward").result(60)
    assert [claim.delivery.id for claim in store.claim({"ci": 9}, NOW).result(60)] == [plans[1].id]


def test_a_claim_can_be_given_back_as_held(store: Store, event: MakeEvent, planned_delivery: Make) -> None:
    plan = planned_delivery()
    put(store, event(), plan)
    [claim] = store.claim({"ci": 1}, NOW).result(60)

    assert store.release(claim, held=True).result(60)

    assert store.claim({"ci": 1}, NOW).result(60) == []
    assert (delivery(store, plan).attempts, store.attempts(plan.id)) == (0, [])
    assert store.depths() == [Depth("ci", held=1)]


def test_a_delivery_can_be_marked_by_its_id(store: Store, event: MakeEvent, planned_delivery: Make) -> None:
    plan, done = planned_delivery(), planned_delivery()
    put(store, event(), plan, done)
    claims = store.claim({"ci": 2}, NOW).result(60)
    for claim in claims:
        state = State.PENDING if claim.delivery.id == plan.id else State.SUCCEEDED
        outcome = Outcome.retry("no") if state is State.PENDING else Outcome.succeeded()
        store.settle([Settlement(claim.delivery.id, claim.token, outcome, state, NOW, NOW + 5)]).result(60)

    store.mark_ids([plan.id, done.id]).result(60)

    assert store.claim({"ci": 2}, NOW + 9).result(60) == []
    assert not broken(store)


def test_an_event_with_a_held_delivery_is_kept(store: Store, event: MakeEvent, planned_delivery: Make) -> None:
    put(store, event(), planned_delivery())
    store.mark_held("deploy", None).result(60)

    assert store.prune(NOW + 10**9, NOW + 10**9).result(60).events == 0
    assert store.count(Filter(states=(State.PENDING,))) == 1


def test_old_ended_holds_are_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 86_400_000
    store.pause("ci", None, NOW).result(60)
    store.resume("ci", NOW + 1).result(60)
    store.pause("b", None, NOW + 401 * day).result(60)
    assert store.holds().held_ms("ci", "r", "a", 0, NOW + 500 * day) == 0

    monkeypatch.setattr("router.store.limits.KEPT_HOLDS", 1)
    for number in range(4):
        store.resume("b", NOW + 402 * day + 10 * number + 5).result(60)
        store.pause("b", None, NOW + 402 * day + 10 * number + 9).result(60)
    assert store.holds().held_ms("b", "r", "a", NOW + 402 * day + 20, NOW + 402 * day + 35) == 6  # the newest is kept
