"""Notices become own events: the first one in the transaction that causes it, further ones gathered into one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import orjson
import pytest

from router.domain.deliveries import PlannedDelivery, Settlement, State
from router.domain.events import Event, Routing
from router.domain.groups import Latest
from router.domain.outcomes import Outcome
from router.domain.own_events import (
    GATHER_MS,
    PATH,
    SAMPLES,
    SOURCE,
    Gathered,
    Notice,
    gathered_event,
    is_own,
    own_event,
)
from router.store.contract import MAX_INTERRUPTIONS, Store
from router.store.fleet import NodeFacts, TakenOver
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.store.conftest import NOW

Make = Callable[..., PlannedDelivery]
MakeEvent = Callable[..., Event]


@pytest.fixture
def notice(planned_delivery: Make) -> Callable[..., Notice]:
    """Return a function that makes a notice."""

    def make(at: int = NOW, subject: str = "a/b", kind: str = "delivery.dead", number: int = 1) -> Notice:
        event = own_event(kind, subject, {"number": number}, at)
        plan = [planned_delivery("slack", rule="tell")]
        return Notice(kind, subject, event, plan, Routing("r1", ("tell",)))

    return make


def own(store: Store) -> list[dict[str, object]]:
    """The payloads of the own events, in order."""
    return [orjson.loads(event.body) for event in reversed(store.events()) if is_own(event)]


def numbers(store: Store) -> list[tuple[object, object]]:
    """The number and the count of each own event."""
    return [(one["number"], one["count"]) for one in own(store)]


def test_a_first_notice_is_an_event_with_its_deliveries(store: Store, notice: Callable[..., Notice]) -> None:
    due: list[dict[str, int]] = []
    store.on_due(lambda found: due.append(dict(found)))
    made = notice()

    assert store.tell(made).result(10)

    [head] = store.event_heads()
    assert (head.id, head.source, head.received_at) == (made.event.id, SOURCE, NOW)
    assert [delivery.rule for delivery in store.deliveries()] == ["tell"]
    assert due == [{"slack": NOW}]


def test_further_notices_of_a_kind_and_subject_are_gathered(store: Store, notice: Callable[..., Notice]) -> None:
    told = [
        store.tell(notice(NOW, number=1)).result(10),
        store.tell(notice(NOW + 1, number=2)).result(10),
        store.tell(notice(NOW + 2, number=3)).result(10),
        store.tell(notice(NOW + 3, "other", number=4)).result(10),
        store.tell(notice(NOW + 4, kind="target.down", number=5)).result(10),
    ]

    assert told == [True, False, False, True, True]
    assert numbers(store) == [(1, 1), (4, 1), (5, 1)]
    assert store.gathered(NOW + GATHER_MS - 1) == []
    [gathered] = [one for one in store.gathered(NOW + GATHER_MS) if one.count]
    assert (gathered.kind, gathered.subject, gathered.opened_at, gathered.count) == ("delivery.dead", "a/b", NOW, 2)
    assert orjson.loads(gathered.last)["number"] == 3


def _told_again(store: Store, notice: Callable[..., Notice], gathered: Gathered, at: int) -> bool:
    made = notice(at)
    event = gathered_event(gathered, at)
    return store.tell_gathered(gathered, Notice(made.kind, made.subject, event, made.plan, made.routing), at).result(10)


def test_gathered_notices_become_one_event_with_their_number(store: Store, notice: Callable[..., Notice]) -> None:
    for number in (1, 2, 3):
        store.tell(notice(NOW + number, number=number)).result(10)
    later = NOW + 1 + GATHER_MS
    [gathered] = store.gathered(later)

    assert _told_again(store, notice, gathered, later)

    assert numbers(store) == [(1, 1), (3, 2)]
    assert store.gathered(later + GATHER_MS - 1) == []
    assert not store.tell(notice(later + 5, number=4)).result(10)  # further notices are gathered again
    assert [one.count for one in store.gathered(later + GATHER_MS)] == [1]


def test_gathered_notices_are_reported_by_one_process_only(store: Store, notice: Callable[..., Notice]) -> None:
    for number in (1, 2):
        store.tell(notice(NOW, number=number)).result(10)
    later = NOW + GATHER_MS
    [gathered] = store.gathered(later)

    assert [_told_again(store, notice, gathered, later) for _ in range(2)] == [True, False]

    assert numbers(store) == [(1, 1), (2, 1)]


def test_a_notice_between_reading_and_reporting_is_not_lost(store: Store, notice: Callable[..., Notice]) -> None:
    for number in (1, 2):
        store.tell(notice(NOW, number=number)).result(10)
    later = NOW + GATHER_MS
    [gathered] = store.gathered(later)
    store.tell(notice(later, number=3)).result(10)

    assert not _told_again(store, notice, gathered, later)

    [gathered] = store.gathered(later)
    assert gathered.count == 2
    assert _told_again(store, notice, gathered, later)
    assert numbers(store) == [(1, 1), (3, 2)]


def test_gathered_notices_that_no_rule_matches_are_removed(store: Store, notice: Callable[..., Notice]) -> None:
    store.tell(notice(NOW)).result(10)
    [gathered] = store.gathered(NOW + GATHER_MS)

    assert store.tell_gathered(gathered, None, NOW + GATHER_MS).result(10)

    assert gathered.count == 0
    assert store.gathered(NOW + 9 * GATHER_MS) == []
    assert store.tell(notice(NOW + GATHER_MS)).result(10)


def _claimed(store: Store, event: Event, plan: PlannedDelivery) -> str:
    store.append(event, [plan], "r1").result(10)
    [claim] = store.claim({plan.target: 1}, NOW).result(10)
    return claim.token


def test_the_notice_of_a_settlement_is_in_its_transaction(
    store: Store, event: MakeEvent, planned_delivery: Make, notice: Callable[..., Notice]
) -> None:
    plan = planned_delivery("ci")
    token = _claimed(store, event(), plan)
    done = Settlement(plan.id, token, Outcome.failed("no"), State.DEAD, NOW + 5, NOW + 5, notices=[notice(NOW + 5)])

    assert store.settle([done]).result(10) == [State.DEAD]

    assert numbers(store) == [(1, 1)]
    assert [one.state for one in store.deliveries()] == [State.DEAD, State.PENDING]


def test_a_settlement_without_effect_makes_no_notice(
    store: Store, event: MakeEvent, planned_delivery: Make, notice: Callable[..., Notice]
) -> None:
    plan = planned_delivery("ci")
    _claimed(store, event(), plan)
    done = Settlement(plan.id, "another", Outcome.failed("no"), State.DEAD, NOW + 5, NOW + 5, notices=[notice()])

    assert store.settle([done]).result(10) == [None]

    assert own(store) == []
    assert store.gathered(NOW + GATHER_MS) == []


def test_the_first_of_many_notices_in_one_transaction_is_an_event(
    store: Store, event: MakeEvent, planned_delivery: Make, notice: Callable[..., Notice]
) -> None:
    plans = [planned_delivery("ci") for _ in range(5)]
    store.append(event(), plans, "r1").result(10)
    claims = store.claim({"ci": 5}, NOW).result(10)
    done = [
        Settlement(
            one.delivery.id, one.token, Outcome.failed("no"), State.DEAD, NOW, NOW, notices=[notice(number=number)]
        )
        for number, one in enumerate(claims)
    ]

    assert store.settle(done).result(10) == [State.DEAD] * 5

    assert numbers(store) == [(0, 1)]
    assert [one.count for one in store.gathered(NOW + GATHER_MS)] == [4]


@pytest.mark.parametrize("back", [GATHER_MS // 2, 3 * GATHER_MS])
def test_a_clock_set_back_does_not_delay_notices_for_long(
    store: Store, notice: Callable[..., Notice], back: int
) -> None:
    store.tell(notice(NOW)).result(10)
    told = store.tell(notice(NOW - back)).result(10)

    assert told is (back > GATHER_MS)
    assert [one.count for one in store.gathered(NOW + 5 * GATHER_MS)] == [0 if told else 1]


def test_a_skipped_delivery_makes_no_notice_of_a_dead_one(
    store: Store, event: MakeEvent, planned_delivery: Make, notice: Callable[..., Notice]
) -> None:
    old = planned_delivery("ci", group=Latest("[1]"))
    token = _claimed(store, event(), old)
    store.append(event(), [planned_delivery("ci", group=Latest("[1]"))], "r1").result(10)
    done = Settlement(old.id, token, Outcome.failed("no"), State.DEAD, NOW + 5, NOW + 5, notices=[notice(NOW + 5)])

    assert store.settle([done]).result(10) == [State.SKIPPED]

    assert own(store) == []
    assert store.gathered(NOW + GATHER_MS) == []


def test_another_node_reports_a_delivery_that_a_lost_node_left_dead(
    postgres_store: PostgresStore, event: MakeEvent, planned_delivery: Make
) -> None:
    plan, of_own = planned_delivery("ci", order_key="k"), planned_delivery("ci")
    postgres_store.append(event(source="shop"), [plan], "r1").result(10)
    postgres_store.append(event(source=SOURCE, path=PATH), [of_own], "r1").result(10)
    fleet = postgres_store.fleet
    assert fleet is not None
    for number in range(MAX_INTERRUPTIONS):
        assert postgres_store.gathered(NOW) == []
        fleet.join(NodeFacts(f"n{number}", "host", 1, "1", ("delivery",), ()), "r1", 60_000)
        assert len(postgres_store.claim({"ci": 2}, NOW).result(10)) == 2
        fleet.leave()  # the node's lease expires while it runs deliveries
        assert len(fleet.take_over(0).released) == 2

    [gathered] = postgres_store.gathered(NOW)

    assert (gathered.kind, gathered.subject, gathered.opened_at, gathered.count) == (
        "delivery.dead",
        "deploy/forward",
        0,
        1,
    )
    told = orjson.loads(gathered.last)
    assert told["delivery"]["id"] == plan.id
    assert told["delivery"]["error"].startswith("interrupted 3 times in a row")
    assert told["delivery"]["created_at"] == "2023-11-14T22:13:20.000Z"
    assert told["event"]["source"] == "shop"
    _, facts = SAMPLES["delivery.dead"]
    assert told["delivery"].keys() == facts["delivery"].keys()
    assert told.keys() == {"kind", "subject", "count", "at", *facts}


def test_a_lost_node_is_reported_once_by_any_node(postgres_store_url: str) -> None:
    url = parse_url(postgres_store_url)
    with closing(PostgresStore(url)) as lost, closing(PostgresStore(url)) as one, closing(PostgresStore(url)) as other:
        lost.fleet.join(NodeFacts("node-2", "hooks-2", 1, "1", ("delivery",), ()), "r1", 0)
        for store in (one, other):
            store.fleet.join(NodeFacts("alive", "host", 1, "1", ("delivery",), ()), "r1", 60_000)

        with ThreadPoolExecutor(2) as pool:
            taken = [*pool.map(lambda store: store.fleet.take_over(0), (one, other))]
        one.fleet.leave()

        assert [node.name for found in taken for node in found.lost] == ["node-2"]
        assert other.fleet.take_over(0) == TakenOver()
        [gathered] = other.gathered(NOW)
    assert (gathered.kind, gathered.subject, gathered.count) == ("node.lost", "node-2", 1)
    told = orjson.loads(gathered.last)
    assert told.keys() == {"kind", "subject", "count", "at", *SAMPLES["node.lost"][1]}
    assert told["node"].keys() == SAMPLES["node.lost"][1]["node"].keys()
    assert (told["node"]["name"], told["node"]["host"]) == ("node-2", "hooks-2")
