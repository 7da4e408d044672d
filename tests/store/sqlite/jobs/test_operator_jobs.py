"""Replay, cancel and plan again: promises of the store protocols, on every kind of store."""

from collections.abc import Callable
from typing import Any

import pytest

from router.domain.deliveries import Claim, Delivery, PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome, OutcomeKind
from router.domain.summaries import Depth
from router.store.contract import PAGE, Store

NOW = 1_700_000_000_000
LATER = NOW + 60_000
R2 = RulesetText("r2", "rules: [] # two", "/srv")
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def put(store: Store, event: Event, *plan: PlannedDelivery) -> None:
    """Append an event and wait for the commit."""
    store.append(event, plan, "r1").result(10)


def take(store: Store, now: int = LATER, **wanted: int) -> list[Claim]:
    """Claim due deliveries and wait for the commit."""
    return store.claim(wanted or {"ci": 10}, now).result(10)


def settle(store: Store, claim: Claim, state: State, at: int = NOW) -> bool:
    """Settle with an outcome that leads to this state, and wait for the commit."""
    outcomes = {State.SUCCEEDED: Outcome.succeeded(200), State.DEAD: Outcome.failed("gone", 410)}
    outcome = outcomes.get(state, Outcome.retry("HTTP 500", 500))
    done = Settlement(claim.delivery.id, claim.token, outcome, state, finished_at=LATER + 5, next_attempt_at=at)
    return store.settle([done]).result(10)[0] is not None


def end(store: Store, *states: State) -> list[str]:
    """Claim and settle one due delivery for each of these states. Return their ids."""
    ids = []
    for state in states:
        [claim] = take(store, ci=1)
        assert settle(store, claim, state)
        ids.append(claim.delivery.id)
    return ids


def replay(store: Store, *ids: str, now: int = LATER) -> list[str]:
    """Replay and wait for the commit."""
    return store.replay(ids, now).result(10)


def cancel(store: Store, *ids: str, now: int = LATER) -> list[str]:
    """Cancel and wait for the commit."""
    return store.cancel(ids, now).result(10)


def found(store: Store, delivery_id: str) -> Delivery:
    """Read a delivery that must exist."""
    delivery = store.delivery(delivery_id)
    assert delivery is not None
    return delivery


def run_lane(store: Store, count: int) -> list[str]:
    """Deliver `count` deliveries one at a time. Return their ids in the order of the claims."""
    went = []
    for _ in range(count):
        [claim] = take(store, ci=100)
        went.append(claim.delivery.id)
        settle(store, claim, State.SUCCEEDED)
    assert take(store, ci=100) == []
    return went


@pytest.mark.parametrize("state", [State.DEAD, State.SUCCEEDED, State.CANCELLED])
def test_a_replayed_delivery_starts_over(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, state: State
) -> None:
    put(store, event(), planned_delivery())
    [delivery] = store.deliveries()
    for _ in range(2):
        [claim] = take(store)
        settle(store, claim, State.PENDING)
    if state is State.CANCELLED:
        cancel(store, delivery.id)
    else:
        end(store, state)

    assert replay(store, delivery.id) == [delivery.id]

    again = found(store, delivery.id)
    assert (again.state, again.blocked, again.attempts, again.interruptions) == (State.PENDING, False, 0, 0)
    assert (again.first_attempt_at, again.next_attempt_at, again.error) == (None, LATER, "")
    tried = len(store.attempts(delivery.id))
    [claim] = take(store)
    assert claim.attempt == tried + 1  # earlier attempts still count
    settle(store, claim, State.PENDING)
    assert found(store, delivery.id).first_attempt_at == LATER  # the time limit of the retry policy starts again


def test_a_replay_of_a_waiting_retry_only_makes_it_due(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)
    settle(store, claim, State.PENDING, at=LATER + 3_600_000)

    assert replay(store, claim.delivery.id) == [claim.delivery.id]

    waiting = found(store, claim.delivery.id)
    assert (waiting.next_attempt_at, waiting.attempts, waiting.error) == (LATER, 1, "HTTP 500")
    replay(store, claim.delivery.id, now=LATER + 10)
    assert found(store, claim.delivery.id).next_attempt_at == LATER  # never later than before


def test_running_blocked_and_unknown_deliveries_are_not_replayed(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(2):
        put(store, event(), planned_delivery(order_key="[1]"))
    head, follower = (d.id for d in store.deliveries())
    [claim] = take(store)

    assert replay(store, head, follower, "nobody") == []

    assert found(store, follower).blocked
    assert settle(store, claim, State.SUCCEEDED)


def test_a_replay_is_announced(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    [delivery_id] = end(store, State.DEAD)
    told: list[dict[str, int]] = []
    store.on_due(lambda due: told.append(dict(due)))

    replay(store, delivery_id)
    put(store, event())  # another commit, so that the announcement was made

    assert told == [{"ci": LATER}]
    assert store.due() == {"ci": LATER}


def test_replays_go_to_the_end_of_their_order_as_they_were_requested(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(5):
        put(store, event(), planned_delivery(order_key="[1]"))
    ids = [d.id for d in store.deliveries()]
    dead = end(store, State.DEAD, State.DEAD)
    assert dead == ids[:2]

    assert replay(store, *dead) == dead
    put(
        store,
        event(),
        planned_delivery(order_key="[1]"),
        planned_delivery(order_key="[2]", action="other", target="else"),
    )
    newest = next(d.id for d in store.deliveries(newest_first=True) if d.order_key == "[1]")

    assert run_lane(store, 6) == [*ids[2:], *dead, newest]


def test_a_replay_in_an_idle_order_comes_before_later_plans(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(3):
        put(store, event(), planned_delivery(order_key="[1]"))
    dead = end(store, State.DEAD, State.DEAD, State.DEAD)

    replay(store, *reversed(dead))
    for _ in range(2):
        put(store, event(), planned_delivery(order_key="[1]"))
    later = [d.id for d in store.deliveries() if d.id not in dead]

    assert run_lane(store, 5) == [*reversed(dead), *later]


def test_a_second_replay_moves_a_delivery_to_the_end_again(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(3):
        put(store, event(), planned_delivery(order_key="[1]"))
    first, second, third = (d.id for d in store.deliveries())
    end(store, State.DEAD)
    replay(store, first)
    assert end(store, State.SUCCEEDED, State.SUCCEEDED) == [second, third]
    assert end(store, State.DEAD) == [first]
    put(store, event(), planned_delivery(order_key="[1]"))
    fourth = store.deliveries(newest_first=True)[0].id

    replay(store, first)

    assert run_lane(store, 2) == [fourth, first]


def test_a_replay_does_not_affect_other_order_keys(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery(order_key="[1]"))
    put(store, event(), planned_delivery(order_key="[2]"))
    put(store, event(), planned_delivery(order_key="[1]", rule="other"))
    [dead] = end(store, State.DEAD)

    replay(store, dead)

    assert not any(d.blocked for d in store.deliveries())


def test_cancelling_the_first_of_an_order_unblocks_the_next_at_once(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(3):
        put(store, event(), planned_delivery(order_key="[1]"))
    first, second, third = (d.id for d in store.deliveries())
    told: list[dict[str, int]] = []
    store.on_due(lambda due: told.append(dict(due)))

    assert cancel(store, first) == [first]

    put(store, event())  # another commit, so that the announcement was made
    assert told == [{"ci": NOW}]
    assert [found(store, one).blocked for one in (second, third)] == [False, True]
    assert run_lane(store, 2) == [second, third]


def test_cancelling_a_blocked_delivery_does_not_change_its_order(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for _ in range(3):
        put(store, event(), planned_delivery(order_key="[1]"))
    first, second, third = (d.id for d in store.deliveries())

    cancel(store, second)

    assert found(store, second).state is State.CANCELLED
    assert not found(store, second).blocked
    assert run_lane(store, 2) == [first, third]
    assert replay(store, second) == [second]
    assert run_lane(store, 1) == [second]


def test_a_cancelled_running_delivery_can_no_longer_be_settled(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery(order_key="[1]"))
    put(store, event(), planned_delivery(order_key="[1]"))
    [claim] = take(store)

    assert cancel(store, claim.delivery.id, now=LATER + 3) == [claim.delivery.id]

    assert not settle(store, claim, State.SUCCEEDED)
    assert not store.release(claim).result(10)
    assert found(store, claim.delivery.id).state is State.CANCELLED
    [attempt] = store.attempts(claim.delivery.id)
    assert (attempt.outcome, attempt.finished_at) == (OutcomeKind.INTERRUPTED, LATER + 3)
    assert len(take(store)) == 1  # the next one of the same order


def test_the_old_claim_cannot_settle_a_cancelled_and_replayed_delivery(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    [old] = take(store)
    cancel(store, old.delivery.id)
    replay(store, old.delivery.id)
    [new] = take(store)

    assert not settle(store, old, State.DEAD)
    assert settle(store, new, State.SUCCEEDED)


def test_only_unfinished_deliveries_can_be_cancelled(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery(), planned_delivery(action="b"), planned_delivery(action="c"))
    succeeded, dead = end(store, State.SUCCEEDED, State.DEAD)
    [pending] = [d.id for d in store.deliveries(Filter(states=(State.PENDING,)))]

    assert cancel(store, succeeded, dead, pending, "nobody") == [dead, pending]
    assert cancel(store, dead, pending) == []


@pytest.mark.parametrize("do", [replay, cancel])
def test_one_transaction_changes_at_most_one_page(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, do: Callable[..., list[str]]
) -> None:
    put(store, event(), *[planned_delivery(action=f"a{n}") for n in range(PAGE + 1)])
    ids = [d.id for d in store.deliveries(limit=PAGE + 1)]

    assert do(store, *ids[:PAGE]) == ids[:PAGE]
    with pytest.raises(StoreError, match=f"at most {PAGE}"):
        do(store, *ids)


def test_deliveries_planned_again_are_due_now_and_last_in_their_order(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    one = event()
    put(store, one, planned_delivery(order_key="[1]"))
    put(store, event(), planned_delivery(order_key="[1]"))
    before = [d.id for d in store.deliveries()]
    again = planned_delivery(order_key="[1]", id=uuid7(LATER))

    assert store.plan_again(one.id, [again], R2, LATER).result(10)

    added = found(store, again.id)
    assert (added.event_id, added.ruleset, added.state, added.blocked) == (one.id, "r2", State.PENDING, True)
    assert (added.created_at, added.next_attempt_at) == (LATER, LATER)
    assert store.ruleset("r2") == R2
    assert run_lane(store, 3) == [*before, again.id]


def test_deliveries_planned_again_come_after_replays_and_before_later_plans(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    one = event()
    put(store, one, planned_delivery(order_key="[1]"))
    [dead] = end(store, State.DEAD)
    replay(store, dead)
    again = [planned_delivery(order_key="[1]", id=uuid7(LATER)) for _ in range(2)]

    store.plan_again(one.id, again, R2, LATER).result(10)
    last = planned_delivery(order_key="[1]")
    put(store, event(), last)

    assert run_lane(store, 4) == [dead, *(p.id for p in again), last.id]


def test_an_unknown_event_is_not_planned_again(store: Store, planned_delivery: MakePlan) -> None:
    assert not store.plan_again("nobody", [planned_delivery()], R2, NOW).result(10)
    assert store.deliveries() == []


def test_planning_again_by_the_current_rules_keeps_them_current(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    one = event(received_at=NOW)
    put(store, one, planned_delivery())
    current = store.ruleset("r1")
    assert current is not None
    store.plan_again(one.id, [planned_delivery(action="b", id=uuid7(LATER))], current, LATER).result(10)
    cancel(store, *(d.id for d in store.deliveries()))

    day = 86_400_000
    assert store.prune(NOW + 100 * day, NOW + 100 * day).result(10).events == 1
    store.prune(NOW + 100 * day, NOW + 100 * day, after=1).result(10)

    assert store.ruleset("r1") == current  # new events of the daemon refer to it


@pytest.fixture
def mixed(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> dict[str, str]:
    """Deliveries of many kinds, as ids by letters."""
    plans = {
        "a": (event(id=uuid7(NOW)), planned_delivery(id=uuid7(NOW), rule="one", action="x")),
        "b": (event(id=uuid7(NOW + 1000), received_at=NOW + 1000, source="stripe"), planned_delivery(id=uuid7(NOW + 1000), rule="one", action="y")),
        "c": (event(id=uuid7(NOW + 2000), received_at=NOW + 2000), planned_delivery(id=uuid7(NOW + 2000), rule="two", action="x", target="files")),
        "d": (event(id=uuid7(NOW + 3000), received_at=NOW + 3000, source="stripe"), planned_delivery(id=uuid7(NOW + 3000), rule="two", action="y")),
    }  # fmt: skip
    for one, plan in plans.values():
        put(store, one, plan)
    assert end(store, State.DEAD, State.SUCCEEDED) == [plans["a"][1].id, plans["b"][1].id]
    return {letter: plan.id for letter, (_, plan) in plans.items()}


@pytest.mark.parametrize(
    ("which", "letters"),
    [
        (Filter(), "abcd"),
        (Filter(states=(State.DEAD,)), "a"),
        (Filter(states=(State.DEAD, State.SUCCEEDED)), "ab"),
        (Filter(states=(State.PENDING,)), "cd"),
        (Filter(states=(State.PENDING, State.RUNNING), rule="two"), "cd"),
        (Filter(states=(State.CANCELLED,)), ""),
        (Filter(rule="one"), "ab"),
        (Filter(action="x"), "ac"),
        (Filter(rule="one", action="x"), "a"),
        (Filter(target="files"), "c"),
        (Filter(source="stripe"), "bd"),
        (Filter(source="stripe", states=(State.PENDING,)), "d"),
        (Filter(since=NOW + 1000), "bcd"),
        (Filter(since=NOW + 1001), "cd"),
        (Filter(until=NOW + 2000), "ab"),
        (Filter(since=NOW + 1000, until=NOW + 3000), "bc"),
        (Filter(since=NOW + 9000), ""),
        (Filter(rule="none"), ""),
    ],
)
def test_a_filter_requires_every_condition(store: Store, mixed: dict[str, str], which: Filter, letters: str) -> None:
    expected = [mixed[letter] for letter in letters]

    assert [d.id for d in store.deliveries(which)] == expected
    assert [d.id for d in store.deliveries(which, newest_first=True)] == expected[::-1]
    assert store.count(which) == len(expected)
    first = store.deliveries(which, limit=1)
    assert [d.id for d in store.deliveries(which, after=first[0].seq if first else 0)] == expected[1:]
    last = store.deliveries(which, limit=1, newest_first=True)
    if last:
        assert [d.id for d in store.deliveries(which, after=last[0].seq, newest_first=True)] == expected[-2::-1]


def test_deliveries_can_be_filtered_by_event(store: Store, mixed: dict[str, str]) -> None:
    event_id = found(store, mixed["b"]).event_id

    assert [d.id for d in store.deliveries(Filter(event_id=event_id))] == [mixed["b"]]
    assert store.count(Filter(event_id=event_id)) == 1
    assert store.deliveries(Filter(event_id=event_id, rule="two")) == []


@pytest.mark.parametrize(
    ("which", "letters"),
    [
        (EventFilter(), "abcd"),
        (EventFilter(source="stripe"), "bd"),
        (EventFilter(since=NOW + 2000), "cd"),
        (EventFilter(until=NOW + 1000), "a"),
        (EventFilter(source="github", since=NOW + 1, until=NOW + 2001), "c"),
        (EventFilter(since=NOW + 9000), ""),
    ],
)
def test_listed_events_have_no_body(store: Store, mixed: dict[str, str], which: EventFilter, letters: str) -> None:
    expected = [found(store, mixed[letter]).event_id for letter in letters]

    heads = store.event_heads(which)

    assert [head.id for head in heads] == expected
    assert [head.id for head in store.event_heads(which, newest_first=True)] == expected[::-1]
    assert store.count_events(which) == len(expected)
    if heads:
        assert [head.id for head in store.event_heads(which, after=heads[0].seq)] == expected[1:]


def test_a_listed_event_counts_its_deliveries_by_state(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(body=b"12345"), planned_delivery(), planned_delivery(action="b"), planned_delivery(action="c"))
    put(store, event())
    end(store, State.DEAD)

    first, second = store.event_heads()

    assert (first.size, first.deliveries) == (5, {State.DEAD: 1, State.PENDING: 2})
    assert second.deliveries == {}


def test_depths_count_waiting_running_and_dead_deliveries_by_target(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    assert store.depths() == []
    for n in range(3):
        put(store, event(received_at=NOW + n), planned_delivery(order_key="[1]"), planned_delivery("files", action="f"))
    put(store, event(received_at=NOW + 9), planned_delivery("done"))
    for claim in take(store, ci=1, done=1):
        settle(store, claim, State.DEAD if claim.delivery.target == "ci" else State.SUCCEEDED)
    take(store, ci=1, files=2)

    assert store.depths() == [
        Depth("ci", due=0, blocked=1, running=1, dead=1, oldest_at=NOW + 2),
        Depth("files", due=1, running=2, oldest_at=NOW + 2),
    ]


def test_a_note_replaces_the_earlier_one_with_its_name(store: Store) -> None:
    assert store.notes() == {}

    store.put_note("rules", '{"a": 1}').result(10)
    store.put_note("process", "{}").result(10)
    store.put_note("rules", '{"a": 2}').result(10)

    assert store.notes() == {"rules": '{"a": 2}', "process": "{}"}


def test_operator_calls_fail_after_close(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    one = event()
    put(store, one, planned_delivery())
    store.close()

    calls: list[Any] = [
        store.replay(["x"], NOW),
        store.cancel(["x"], NOW),
        store.plan_again(one.id, [], R2, NOW),
        store.put_note("a", "b"),
        store.prune(NOW, NOW),
    ]
    for future in calls:
        with pytest.raises(StoreError):
            future.result(10)
