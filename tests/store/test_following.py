"""Following a store: positions are never reused, and ended attempts come in the order of their commits."""

from collections.abc import Callable

from router.domain.deliveries import Claim, PlannedDelivery, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome, OutcomeKind
from router.domain.stream import EndedAttempt, Place, StreamPosition
from router.store.contract import Store

NOW = 1_700_000_000_000
DAY = 86_400_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def put(store: Store, event: Event, *plan: PlannedDelivery) -> str:
    """Append an event, wait for the commit, and return the event's id."""
    return store.append(event, plan, "r1").result(60).event_id


def take(store: Store, now: int = NOW) -> list[Claim]:
    """Claim all due deliveries."""
    return store.claim({"ci": 5000}, now).result(60)


def end(store: Store, claim: Claim, outcome: Outcome, state: State, at: int) -> None:
    """Settle a claim and wait for the commit."""
    assert store.settle([Settlement(claim.delivery.id, claim.token, outcome, state, at, at)]).result(60)[0]


START = StreamPosition().ended


def ends(store: Store, after: Place = START) -> list[EndedAttempt]:
    """All ended attempts, read in small pages."""
    found: list[EndedAttempt] = []
    more = True
    while more:
        page = store.ended(after, 2)
        found += [end for end in page.ends if isinstance(end, EndedAttempt)]
        after, more = page.next_after, page.more
    return found


def test_events_arrive_with_their_plan_in_the_order_of_their_commits(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    late, early = uuid7(NOW + DAY), uuid7(NOW)
    put(
        store,
        event(id=late, received_at=NOW + DAY, body=b"12345"),
        planned_delivery("b"),
        planned_delivery("a", rule="x", action="y"),
    )
    before = store.newest()
    put(store, event(id=early))

    first, second = store.arrivals({})

    assert (first.id, first.size, first.received_at) == (late, 5, NOW + DAY)
    assert first.plan == (("deploy", "forward", "b"), ("x", "y", "a"))
    assert (second.id, second.plan) == (early, ())
    assert store.arrivals(before.events) == [second]
    assert store.arrivals({}, 1) == [first]
    assert store.arrivals(store.newest().events) == []


def test_ended_attempts_come_in_commit_order(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(id="e"), planned_delivery(id="one"), planned_delivery(id="two", action="b"))
    one, two = take(store)
    assert ends(store) == []

    end(store, two, Outcome.retry("down", 503), State.PENDING, NOW + 9)
    end(store, one, Outcome.succeeded(200, "excerpt"), State.SUCCEEDED, NOW + 5)
    [again] = take(store, NOW + 9)
    end(store, again, Outcome.failed("gone", 410), State.DEAD, NOW + 1)

    found = ends(store)
    assert [(e.delivery_id, e.attempt.number, e.attempt.outcome, e.state, e.is_last) for e in found] == [
        ("two", 1, OutcomeKind.RETRY, State.DEAD, False),
        ("one", 1, OutcomeKind.SUCCEEDED, State.SUCCEEDED, True),
        ("two", 2, OutcomeKind.FAILED, State.DEAD, True),
    ]
    assert {(e.event_id, e.source, e.rule, e.target) for e in found} == {("e", "github", "deploy", "ci")}
    assert (found[0].attempt.status, found[0].attempt.error, found[0].attempt.finished_at) == (503, "down", NOW + 9)
    assert ends(store, {found[0].writer: found[0].seq}) == found[1:]
    assert ends(store, store.newest().ended) == []


def test_a_cancelled_attempt_ends_once_and_a_released_one_never(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery(id="cancelled"), planned_delivery(id="released", action="b"))
    claims = {claim.delivery.id: claim for claim in take(store)}

    store.cancel(["cancelled"], NOW).result(60)
    store.release(claims["released"]).result(60)
    settled = Settlement("cancelled", claims["cancelled"].token, Outcome.succeeded(), State.SUCCEEDED, NOW, NOW)
    assert not store.settle([settled]).result(60)[0]

    [one] = ends(store)
    assert (one.delivery_id, one.attempt.outcome, one.state) == ("cancelled", OutcomeKind.INTERRUPTED, State.CANCELLED)


def test_pruned_rows_are_skipped_and_their_numbers_are_never_reused(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(5):
        put(store, event(), planned_delivery())
    for claim in take(store):
        end(store, claim, Outcome.succeeded(), State.SUCCEEDED, NOW)
    place = store.newest()
    assert store.prune(NOW + DAY, NOW + DAY).result(60).events == 5

    assert store.arrivals(store.newest().events) == []
    assert ends(store) == []
    assert store.ended({}).next_after == place.ended
    assert store.arrivals({}) == []
    new = put(store, event(), planned_delivery())
    [claim] = take(store)
    end(store, claim, Outcome.succeeded(), State.SUCCEEDED, NOW)
    assert [one.id for one in store.arrivals(place.events)] == [new]
    assert [one.event_id for one in ends(store, place.ended)] == [new]


def test_a_time_is_turned_into_the_position_before_it(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    assert store.position_at(NOW) == store.newest()
    for n in range(4):
        at = NOW + n * DAY
        put(store, event(id=uuid7(at), received_at=at), planned_delivery(id=uuid7(at)))
        [claim] = take(store, at)
        end(store, claim, Outcome.succeeded(), State.SUCCEEDED, at + 5)

    def after(since: int) -> tuple[int, int]:
        """The numbers of events and ended attempts after the position at a time."""
        position = store.position_at(since)
        return len(store.arrivals(position.events)), len(ends(store, position.ended))

    assert after(NOW - DAY) == (4, 4)
    assert after(NOW + 2 * DAY) == (2, 2)
    assert after(NOW + 2 * DAY + 1) == (1, 2)
    assert after(NOW + 9 * DAY) == (0, 0)
    assert len(store.arrivals(store.newest(3).events)) == len(ends(store, store.newest(3).ended)) == 3
