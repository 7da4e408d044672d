"""An append can reserve deliveries for the process whose sender waits for their answer."""

from collections.abc import Callable

import pytest

from router.domain.deliveries import Claim, PlannedDelivery, State
from router.domain.events import Event
from router.domain.groups import Latest, Once
from router.domain.outcomes import Outcome
from router.store.contract import Store
from tests.store.test_contract import NOW, settle, take

LATER = NOW + 2000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def reserve(store: Store, event: Event, *plan: PlannedDelivery) -> None:
    """Append an event with all deliveries reserved until LATER."""
    store.append(event, plan, "r1", reserved={one.id: LATER - NOW for one in plan}).result(60)


def claim(store: Store, planned: PlannedDelivery, now: int = NOW) -> Claim | None:
    """Claim one delivery by its id, and wait for the commit."""
    return store.claim_one(planned.id, now).result(60)


def test_a_reserved_delivery_is_not_claimed_before_its_time(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    mine, other = planned_delivery(), planned_delivery()
    store.append(event(), [mine, other], "r1", reserved={mine.id: LATER - NOW}).result(60)

    early, late = take(store, LATER - 1), take(store, LATER)

    assert [one.delivery.id for one in early] == [other.id]
    assert [one.delivery.id for one in late] == [mine.id]  # after a crash it is delivered later


def test_shortening_the_waits_changes_no_reservation(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plain, latest = planned_delivery(), planned_delivery(group=Latest("[1]"))
    reserve(store, event(), plain, latest)

    store.shorten_waits(NOW).result(60)
    store.shorten_waits(NOW + 5).result(60)

    assert take(store, LATER - 1) == []
    assert {one.delivery.id for one in take(store, LATER)} == {plain.id, latest.id}


def test_a_clock_set_back_shortens_a_reservation(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    mine = planned_delivery()
    reserve(store, event(), mine)

    store.shorten_waits(NOW - 50_000).result(60)

    assert take(store, LATER - 50_001) == []
    assert [one.delivery.id for one in take(store, LATER - 50_000)] == [mine.id]


def test_a_reserved_delivery_can_be_claimed_once_by_its_id(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    mine, stored = planned_delivery(), event()
    reserve(store, stored, mine)

    found = claim(store, mine, NOW + 7)

    assert found is not None
    assert (found.event, found.attempt, found.delivery.state) == (stored, 1, State.RUNNING)
    assert found.delivery.next_attempt_at == NOW + 7
    assert claim(store, mine) is None
    assert take(store, LATER) == []
    assert [(one.number, one.started_at, one.finished_at) for one in store.attempts(mine.id)] == [(1, NOW + 7, None)]
    assert settle(store, found, Outcome.succeeded(200), State.SUCCEEDED)


def test_a_due_delivery_can_also_be_claimed_by_its_id(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    planned = planned_delivery()
    store.append(event(), [planned], "r1").result(60)

    assert claim(store, planned) is not None
    assert store.claim_one("nobody", NOW).result(60) is None


def test_a_blocked_delivery_is_not_reserved(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    first, second = planned_delivery(order_key="[1]"), planned_delivery(order_key="[1]")
    reserve(store, event(), first)
    reserve(store, event(), second)

    before = claim(store, first)
    refused = claim(store, second)

    assert before is not None
    assert refused is None
    assert settle(store, before, Outcome.succeeded(200), State.SUCCEEDED)
    assert [one.delivery.id for one in take(store)] == [second.id]  # it is no longer reserved
    assert [one.number for one in store.attempts(second.id)] == [1]


def test_a_delivery_behind_a_running_one_of_its_latest_by_value_is_not_reserved(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    first, second = (planned_delivery(group=Latest("[1]")) for _ in range(2))
    reserve(store, event(), first)
    before = claim(store, first)
    reserve(store, event(), second)

    refused = claim(store, second)

    assert before is not None
    assert refused is None
    assert settle(store, before, Outcome.succeeded(200), State.SUCCEEDED)
    assert [one.delivery.id for one in take(store)] == [second.id]


@pytest.mark.parametrize(("group", "made"), [(Latest("[1]"), 1), (Once("[1]", 5000), 0)])
def test_a_skipped_delivery_is_not_claimed_by_its_id(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, group: Latest | Once, made: int
) -> None:
    both = [planned_delivery(group=group) for _ in range(2)]
    reserve(store, event(), *both)

    found = [claim(store, one) is not None for one in both]

    assert found == [number == made for number in range(2)]
    assert take(store, LATER) == []


def test_an_unreserved_delivery_is_due_at_once(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    mine = planned_delivery()
    heard: list[object] = []
    reserve(store, event(), mine)
    store.on_due(heard.append)

    store.unreserve(mine.id, NOW).result(60)

    assert heard == [{"ci": NOW}]
    [found] = take(store)
    store.unreserve(mine.id, NOW).result(60)
    assert take(store, LATER) == []  # it is running
    assert settle(store, found, Outcome.succeeded(200), State.SUCCEEDED)
    store.unreserve(mine.id, NOW).result(60)
    assert take(store, LATER) == []


def test_a_claim_by_id_counts_for_a_low_rate(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    mine = planned_delivery()
    reserve(store, event(), mine)

    store.claim_one(mine.id, NOW + 3, ["ci"]).result(60)
    store.claim_one(mine.id, NOW + 9, ["ci"]).result(60)

    assert store.last_claims() == {"ci": NOW + 3}


def test_a_duplicate_event_reserves_nothing(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    first, copy = planned_delivery(), planned_delivery()
    store.append(event(dedupe_key="k"), [first], "r1", dedupe_window=1000).result(60)

    again = store.append(event(dedupe_key="k"), [copy], "r1", dedupe_window=1000, reserved={copy.id: 2000}).result(60)

    assert again.duplicate
    assert claim(store, copy) is None
    assert [one.delivery.id for one in take(store)] == [first.id]
