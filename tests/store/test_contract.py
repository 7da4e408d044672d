"""The promises of the store protocols, which every kind of store must keep."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError, StoreUnavailable
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.groups import Latest, Once, Skipped, SkipReason
from router.domain.outcomes import Outcome, OutcomeKind
from router.domain.stream import SkippedDelivery
from router.store.contract import Store
from router.store.sqlite.store import SqliteStore

NOW = 1_700_000_000_000
MakeEvent = Callable[..., Event]
MakePlan = Callable[..., PlannedDelivery]


def put(store: Store, event: Event, *plan: PlannedDelivery, window: int = 0) -> Any:
    """Append an event and wait for the commit."""
    return store.append(event, plan, "r1", dedupe_window=window).result(60)


def take(store: Store, now: int = NOW, **wanted: int) -> list[Claim]:
    """Claim due deliveries and wait for the commit."""
    return store.claim(wanted or {"ci": 10}, now).result(60)


def settle(store: Store, claim: Claim, outcome: Outcome, state: State, at: int = NOW) -> bool:
    """Settle a claim and wait for the commit."""
    done = Settlement(claim.delivery.id, claim.token, outcome, state, finished_at=NOW + 5, next_attempt_at=at)
    return store.settle([done]).result(60)[0] is not None


def test_an_event_is_read_back_unchanged(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    first = event(dedupe_key="k")

    put(store, first, planned_delivery())

    assert store.event(first.id) == first
    assert store.events() == [first]
    assert store.event("nobody") is None


def test_a_body_may_be_a_view_of_the_bytes_that_arrived(store: Store, event: MakeEvent) -> None:
    body = bytes(range(256)) * 5000
    first, second = event(body=memoryview(b"frame" + body)[5:]), event(body=b"small")

    both = [store.append(one, (), "r1") for one in (first, second)]

    assert {one.result(60).duplicate for one in both} == {False}
    assert [one.body for one in map(store.event, (first.id, second.id)) if one is not None] == [body, b"small"]


def test_planned_deliveries_are_due_at_once_in_commit_order(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plan = [planned_delivery(), planned_delivery(target="files", action="append", type="append")]
    first = event()

    put(store, first, *plan)

    found = store.deliveries(Filter(event_id=first.id))
    assert [d.id for d in found] == [p.id for p in plan]
    assert [(d.state, d.next_attempt_at, d.attempts, d.blocked) for d in found] == [(State.PENDING, NOW, 0, False)] * 2
    assert store.due() == {"ci": NOW, "files": NOW}


def test_a_claim_returns_the_delivery_its_event_and_a_started_attempt(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    first = event()
    put(store, first, planned_delivery())

    [claim] = take(store)

    assert claim.event == first
    assert claim.attempt == 1
    assert claim.delivery.state is State.RUNNING
    [attempt] = store.attempts(claim.delivery.id)
    assert (attempt.number, attempt.started_at, attempt.finished_at, attempt.outcome) == (1, NOW, None, None)
    assert take(store) == []
    assert store.due() == {}


def test_a_claim_takes_only_due_deliveries_of_the_asked_targets(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery(), planned_delivery(action="b"), planned_delivery(target="other", action="c"))
    put(store, event(received_at=NOW + 1000), planned_delivery())

    assert [c.delivery.target for c in take(store, ci=1)] == ["ci"]
    assert len(take(store, ci=5)) == 1
    assert take(store, ci=5) == []
    assert len(take(store, now=NOW + 1000, ci=5, other=5)) == 2


def test_a_success_is_final(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)

    assert settle(store, claim, Outcome.succeeded(200, "ok"), State.SUCCEEDED)

    delivery = store.delivery(claim.delivery.id)
    assert delivery is not None
    assert (delivery.state, delivery.attempts, delivery.first_attempt_at) == (State.SUCCEEDED, 1, NOW)
    [attempt] = store.attempts(delivery.id)
    assert (attempt.outcome, attempt.status, attempt.excerpt) == (OutcomeKind.SUCCEEDED, 200, "ok")
    assert attempt.finished_at == NOW + 5
    assert not settle(store, claim, Outcome.failed("late"), State.DEAD)


def test_a_retry_waits_for_its_time_and_keeps_its_first_attempt(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)

    settle(store, claim, Outcome.retry("HTTP 500", 500), State.PENDING, at=NOW + 2000)

    assert take(store, now=NOW + 1999) == []
    [again] = take(store, now=NOW + 2000)
    assert (again.attempt, again.delivery.attempts, again.delivery.first_attempt_at) == (2, 1, NOW)
    assert again.delivery.error == "HTTP 500"


def test_an_interrupted_attempt_is_not_counted(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)

    settle(store, claim, Outcome.interrupted("stop"), State.PENDING)

    [again] = take(store)
    assert (again.delivery.attempts, again.delivery.interruptions, again.delivery.first_attempt_at) == (0, 1, None)
    assert again.attempt == 2
    settle(store, again, Outcome.retry("x"), State.PENDING)
    assert store.deliveries()[0].interruptions == 0


def test_only_the_owning_token_settles_a_delivery(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    [old] = take(store)
    store.release(old).result(60)
    [new] = take(store)

    assert not settle(store, old, Outcome.failed("x"), State.DEAD)
    assert settle(store, new, Outcome.succeeded(), State.SUCCEEDED)


def test_settlements_in_one_batch_each_affect_their_own_delivery(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    for number in range(100):
        put(store, event(), planned_delivery(target="ci", order_key=f'"{number // 2}"'))
    claims = take(store, ci=100)
    assert len(claims) == 50  # one for each order key
    store.release(claims[0]).result(60)
    [again] = take(store, ci=1)
    kinds = {
        0: (Outcome.succeeded(200, "fine"), State.SUCCEEDED),
        1: (Outcome.retry("HTTP 500", 500, "oops"), State.PENDING),
        2: (Outcome.failed("gone", 410), State.DEAD),
        3: (Outcome.interrupted("stop"), State.PENDING),
    }

    def settlement(claim: Claim, number: int) -> Settlement:
        outcome, state = kinds[number % 4]
        return Settlement(claim.delivery.id, claim.token, outcome, state, NOW + 5, NOW + 1000 + number)

    # Settlements with an old and a new token of the same delivery are in one batch.
    done = [settlement(claim, number) for number, claim in enumerate([*claims, again])]
    futures = [store.settle([one]) for one in done[1:20]]
    together = store.settle([done[0], *done[20:]])

    states = [kinds[number % 4][1] for number in range(1, 51)]
    assert [future.result(60) for future in futures] == [[state] for state in states[:19]]
    assert together.result(60) == [None, *states[19:]]
    for number, claim in enumerate([*claims[1:], again], 1):
        outcome, state = kinds[number % 4]
        found, tried = store.delivery(claim.delivery.id), store.attempts(claim.delivery.id)[-1]
        assert found is not None
        assert (found.state, found.error) == (state, outcome.error)
        assert (found.attempts, found.interruptions) == ((0, 1) if number % 4 == 3 else (1, 0))
        assert found.first_attempt_at == (None if number % 4 == 3 else NOW)
        assert state is not State.PENDING or found.next_attempt_at == NOW + 1000 + number
        assert (tried.outcome, tried.status, tried.error, tried.excerpt, tried.finished_at) == (
            outcome.kind,
            outcome.status,
            outcome.error,
            outcome.excerpt,
            NOW + 5,
        )
    # Only a delivery in a final state unblocks the next one of its order.
    settled_for_good = sum(number % 4 in (0, 2) for number in range(1, 51))
    assert len(take(store, ci=100)) == settled_for_good


def test_a_released_delivery_has_no_attempt(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    before = store.deliveries()
    [claim] = take(store)

    assert store.release(claim).result(60)

    assert store.deliveries() == before
    assert store.attempts(claim.delivery.id) == []
    assert not store.release(claim).result(60)


def test_a_delivery_moved_to_another_target_waits_there(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)

    assert store.refile(claim, "new").result(60)

    assert store.due() == {"new": NOW}
    [again] = take(store, new=1)
    assert (again.delivery.id, again.attempt) == (claim.delivery.id, 1)


def test_deliveries_of_one_order_key_go_one_at_a_time_in_commit_order(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    ids = []
    for _ in range(4):
        plan = planned_delivery(order_key="[7]")
        ids.append(plan.id)
        put(store, event(), plan, planned_delivery(order_key="[8]", action="other"))
    done = []
    states = [State.SUCCEEDED, State.DEAD, State.SUCCEEDED, State.SUCCEEDED]
    for state in states:
        [claim] = [c for c in take(store) if c.delivery.order_key == "[7]"]
        settle(store, claim, Outcome.retry("x"), State.PENDING)  # a retry of the first keeps the others waiting
        [claim] = [c for c in take(store) if c.delivery.order_key == "[7]"]
        done.append(claim.delivery.id)
        outcome = Outcome.succeeded() if state is State.SUCCEEDED else Outcome.failed("x")
        settle(store, claim, outcome, state)

    assert done == ids


def test_order_keys_of_one_batch_block_each_other_too(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plans = [planned_delivery(order_key="[1]") for _ in range(50)]
    futures = [store.append(event(), [plan], "r1") for plan in plans]
    for future in futures:
        future.result(60)

    assert [c.delivery.id for c in take(store, ci=100)] == [plans[0].id]


def test_the_answer_to_a_duplicate_has_the_id_of_the_first_event(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    first, second = event(dedupe_key="d1"), event(dedupe_key="d1", received_at=NOW + 999)

    assert put(store, first, planned_delivery(), window=1000).event_id == first.id
    answer = put(store, second, planned_delivery(), window=1000)

    assert (answer.event_id, answer.duplicate) == (first.id, True)
    assert store.event(second.id) is None
    assert len(store.deliveries()) == 1


@pytest.mark.parametrize(
    ("change", "window"),
    [
        ({"received_at": NOW + 1000}, 1000),  # the dedupe window has passed
        ({"source": "stripe"}, 1000),
        ({"dedupe_key": "d2"}, 1000),
        ({"dedupe_key": None}, 1000),
        ({}, 0),
    ],
)
def test_an_event_with_another_key_or_source_is_stored(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, change: dict[str, Any], window: int
) -> None:
    put(store, event(dedupe_key="d1"), planned_delivery(), window=1000)

    assert not put(store, event(**{"dedupe_key": "d1"} | change), planned_delivery(), window=window).duplicate


def test_after_the_dedupe_window_the_next_event_is_stored(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(dedupe_key="d1"), planned_delivery(), window=1000)
    second = event(dedupe_key="d1", received_at=NOW + 1500)
    put(store, second, planned_delivery(), window=1000)

    answer = put(store, event(dedupe_key="d1", received_at=NOW + 2400), planned_delivery(), window=1000)

    assert (answer.event_id, answer.duplicate) == (second.id, True)


def test_duplicates_within_one_batch_are_found(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    futures = [
        store.append(event(dedupe_key=f"d{n % 300}"), [planned_delivery()], "r1", dedupe_window=1000)
        for n in range(900)
    ]

    answers = [future.result(60) for future in futures]

    assert sum(not answer.duplicate for answer in answers) == 300
    assert [a.event_id for a in answers[:300]] == [a.event_id for a in answers[300:600]]


def test_an_unmatched_event_does_not_reserve_its_dedupe_key(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(dedupe_key="d1"), window=1000)

    assert not put(store, event(dedupe_key="d1"), planned_delivery(), window=1000).duplicate


def test_a_hundred_concurrent_duplicates_are_one_event(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda _: put(store, event(dedupe_key="d1"), planned_delivery(), window=1000), range(100))
        )

    assert len({answer.event_id for answer in answers}) == 1
    assert sum(not answer.duplicate for answer in answers) == 1
    assert len(store.events()) == 1


def test_a_row_that_cannot_be_stored_fails_alone(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    bad = event(received_at="yesterday")
    futures = [store.append(event(), [planned_delivery()], "r1") for _ in range(20)]
    failing = store.append(bad, [planned_delivery()], "r1")
    futures += [store.append(event(), [planned_delivery()], "r1") for _ in range(20)]

    with pytest.raises(StoreError):
        failing.result(60)
    assert len({future.result(60).event_id for future in futures}) == 40
    assert len(store.events()) == 40


def test_an_invalid_call_fails_alone(store: Store, event: MakeEvent) -> None:
    nonsense: Any = [None]
    futures = [store.append(event(), [], "r1") for _ in range(20)]
    failing = store.append(event(), nonsense, "r1")
    futures += [store.append(event(), [], "r1") for _ in range(20)]

    with pytest.raises(StoreError, match="can't be stored"):
        failing.result(60)
    assert [future.result(60).duplicate for future in futures] == [False] * 40
    assert store.writable()


def test_a_duplicate_is_stored_when_the_first_append_failed(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    bad = store.append(event(dedupe_key="d1", path=None), [planned_delivery()], "r1", dedupe_window=1000)
    good = store.append(event(dedupe_key="d1"), [planned_delivery()], "r1", dedupe_window=1000)

    with pytest.raises(StoreError):
        bad.result(60)
    assert not good.result(60).duplicate
    assert len(store.events()) == 1


def test_any_attempt_text_can_be_settled(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)

    assert settle(store, claim, Outcome.failed("no \udcff", excerpt="\ud800 \x00 é"), State.DEAD)

    [attempt] = store.attempts(claim.delivery.id)
    assert (attempt.error, attempt.excerpt) == ("no ?", "? \x00 é")


def test_due_work_is_announced_after_its_commit(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    told: list[dict[str, int]] = []
    store.on_due(lambda due: told.append(dict(due)))

    put(store, event(), planned_delivery(order_key="[1]"))
    put(store, event(received_at=NOW + 7), planned_delivery(order_key="[1]"))
    [claim] = take(store, now=NOW + 10)
    settle(store, claim, Outcome.retry("x"), State.PENDING, at=NOW + 50)
    [claim] = take(store, now=NOW + 50)
    told.clear()
    settle(store, claim, Outcome.succeeded(), State.SUCCEEDED)
    put(store, event())  # another commit, so that the announcement was made

    assert told == [{"ci": NOW + 7}]


def test_blocked_work_is_not_announced(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery(order_key="[1]"))
    told: list[dict[str, int]] = []
    store.on_due(lambda due: told.append(dict(due)))

    put(store, event(), planned_delivery(order_key="[1]"), planned_delivery(target="other", action="b"))
    put(store, event(), planned_delivery(order_key="[1]"))
    put(store, event())  # another commit, so that the announcement was made

    assert told == [{"other": NOW}]
    assert store.due() == {"ci": NOW, "other": NOW}


def test_released_work_is_announced(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(), planned_delivery(), planned_delivery(action="b"))
    one, two = take(store)
    told: list[dict[str, int]] = []
    store.on_due(lambda due: told.append(dict(due)))

    store.release(one).result(60)
    store.refile(two, "new").result(60)
    put(store, event())

    assert told == [{"ci": NOW}, {"new": NOW}]


def test_a_released_delivery_stays_first_in_its_order(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery(order_key="[1]"))
    put(store, event(), planned_delivery(order_key="[1]"))
    [claim] = take(store)

    store.refile(claim, "new").result(60)

    assert take(store) == []
    assert [c.delivery.id for c in take(store, new=5)] == [claim.delivery.id]


def test_a_failing_listener_does_not_stop_the_store(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError

    store.on_due(fail)

    put(store, event(), planned_delivery())
    put(store, event(), planned_delivery())


def test_the_text_of_a_ruleset_is_stored_once(store: Store) -> None:
    text = RulesetText("r2", "rules: [] # é", "/etc")

    store.put_ruleset(text, NOW).result(60)
    store.put_ruleset(text, NOW).result(60)

    assert store.ruleset("r2") == text
    assert store.ruleset("r3") is None


def test_waiting_counts_unsettled_deliveries(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    for _ in range(3):
        put(store, event(), planned_delivery(), planned_delivery(rule="other", target="x"))
    settle(store, take(store, ci=1)[0], Outcome.succeeded(), State.SUCCEEDED)

    assert store.waiting(["deploy", "other", "none"]) == {"deploy": 2, "other": 3}


def test_events_and_deliveries_come_in_pages(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    made = [event() for _ in range(5)]
    for one in made:
        put(store, one, planned_delivery())

    page = store.events(limit=2)
    assert page == [made[4], made[3]]
    assert store.events(limit=2, before=page[-1].id) == [made[2], made[1]]
    first = store.deliveries(Filter(states=(State.PENDING,)), limit=2)
    assert len(store.deliveries(limit=10, after=first[-1].seq)) == 3
    assert store.deliveries(Filter(states=(State.DEAD,))) == []


def test_after_close_every_call_fails_and_none_hangs(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    waiting = [store.append(event(), [planned_delivery()], "r1") for _ in range(200)]

    store.close()

    assert all(future.result(60) for future in waiting)
    with pytest.raises(StoreUnavailable):
        put(store, event())
    with pytest.raises(StoreUnavailable):
        take(store)
    with pytest.raises(StoreError):
        store.events()
    assert not store.writable()
    store.close()


def _shorten(store: Store, now: int) -> None:
    after: int | None = 0
    while after is not None:
        after = store.shorten_waits(now, after).result(60)


HOUR = 3_600_000


def test_a_clock_set_back_makes_new_deliveries_due(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    told: list[dict[str, int]] = []
    for lane in (None, "[1]", "[1]"):
        put(store, event(), planned_delivery(order_key=lane))
    store.on_due(lambda due: told.append(dict(due)))

    _shorten(store, NOW - HOUR)

    assert [delivery.next_attempt_at for delivery in store.deliveries()] == [NOW - HOUR] * 3
    assert told == [{"ci": NOW - HOUR}]
    claims = take(store, NOW - HOUR)
    assert [claim.delivery.id for claim in claims] == [delivery.id for delivery in store.deliveries()][:2]
    settle(store, claims[1], Outcome.succeeded(), State.SUCCEEDED)
    assert len(take(store, NOW - HOUR)) == 1  # the wait of the blocked one is shortened too


def test_a_clock_set_back_keeps_the_remaining_wait_of_retries(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)
    settle(store, claim, Outcome.retry("HTTP 500", 500), State.PENDING, at=NOW + 5 + 7_000)  # it ended at NOW + 5 ms

    for now in (NOW + 5, NOW + 1_000, NOW - HOUR, NOW - HOUR + 1_000):
        _shorten(store, now)

    [delivery] = store.deliveries()
    assert delivery.next_attempt_at == NOW - HOUR + 7_000
    assert delivery.attempts == 1


def test_a_replayed_delivery_is_due_though_the_clock_was_set_back(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery())
    [claim] = take(store)
    settle(store, claim, Outcome.failed("HTTP 410", 410), State.DEAD)
    store.replay([claim.delivery.id], NOW + HOUR).result(60)

    _shorten(store, NOW + 10)

    assert len(take(store, NOW + 10)) == 1


def test_waits_are_shortened_in_small_batches(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.store.limits.SHORTENED_LOOK", 3)
    for _ in range(8):
        put(store, event(), planned_delivery())
    done = take(store, ci=4)
    for claim in done:
        settle(store, claim, Outcome.succeeded(), State.SUCCEEDED)

    first = store.shorten_waits(NOW - HOUR).result(60)

    assert first is not None
    waits = [delivery.next_attempt_at for delivery in store.deliveries(Filter(states=(State.PENDING,)))]
    assert waits == [NOW - HOUR] * 3 + [NOW]  # the settled ones before it were skipped
    assert store.shorten_waits(NOW - HOUR, first).result(60) is None
    assert len(take(store, NOW - HOUR)) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 64, 67])
def test_one_transaction_settles_any_number_of_rows(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, count: int
) -> None:
    put(store, event(), *[planned_delivery() for _ in range(count)])
    claims = take(store, ci=100)
    ends = [
        Settlement(claim.delivery.id, claim.token, Outcome.succeeded(200), State.SUCCEEDED, NOW + 5, NOW)
        for claim in claims
    ]

    assert len(claims) == count
    assert store.settle(ends).result(60) == [State.SUCCEEDED] * count
    assert store.count(Filter()) == store.count(Filter(states=(State.SUCCEEDED,))) == count
    assert all(len(store.attempts(claim.delivery.id)) == 1 for claim in claims)


# Groups.


def state_of(store: Store, planned: PlannedDelivery) -> tuple[State, SkipReason | None, str | None]:
    """The state of a delivery, and the reason and the delivery for which it was skipped."""
    found = store.delivery(planned.id)
    assert found is not None
    return found.state, found.skip_reason, found.skipped_for


PENDING = (State.PENDING, None, None)


def test_the_newest_delivery_of_a_value_skips_the_one_that_waits(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    old, other, new = (planned_delivery(group=Latest(key)) for key in ("[1]", "[2]", "[1]"))
    told: list[Skipped] = []
    store.on_skipped(told.extend)
    first = event()
    put(store, first, old, other)

    put(store, event(), new)

    assert state_of(store, old) == (State.SKIPPED, SkipReason.NEWER, new.id)
    assert state_of(store, other) == state_of(store, new) == PENDING
    assert [claim.delivery.id for claim in take(store)] == [other.id, new.id]
    assert told == [Skipped(old.id, first.id, "deploy", "forward", "ci", SkipReason.NEWER, new.id)]
    assert store.count(Filter(states=(State.SKIPPED,))) == 1


def test_deliveries_of_other_rules_or_actions_are_in_other_groups(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plan = [
        planned_delivery(group=Latest("[1]")),
        planned_delivery(group=Latest("[1]"), action="b"),
        planned_delivery(group=Latest("[1]"), rule="b"),
        planned_delivery(group=Once("[1]", 1000), rule="c"),
        planned_delivery(group=Once("[1]", 1000), rule="c", action="b"),
        planned_delivery(),
    ]

    put(store, event(), *plan)

    assert [state_of(store, one) for one in plan] == [PENDING] * 6


def test_a_delivery_that_waits_for_a_retry_or_is_held_is_skipped_too(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    tried, held = planned_delivery(group=Latest("[1]")), planned_delivery(group=Latest("[1]"), rule="off")
    put(store, event(), tried, held)
    store.mark_held("off", None).result(60)
    [claim] = take(store)
    settle(store, claim, Outcome.retry("x"), State.PENDING, at=NOW + 60_000)

    put(store, event(), new := planned_delivery(group=Latest("[1]")), planned_delivery(group=Latest("[1]"), rule="off"))

    assert state_of(store, tried) == (State.SKIPPED, SkipReason.NEWER, new.id)
    assert state_of(store, held)[0] is State.SKIPPED
    assert len(take(store)) == 2
    assert store.marked_actions() == []


@pytest.mark.parametrize(
    ("outcome", "state", "becomes"),
    [
        (Outcome.succeeded(200), State.SUCCEEDED, State.SUCCEEDED),
        (Outcome.retry("x"), State.PENDING, State.SKIPPED),
        (Outcome.failed("x"), State.DEAD, State.SKIPPED),
        (Outcome.interrupted("x"), State.PENDING, State.SKIPPED),
    ],
)
def test_a_newer_delivery_waits_for_a_running_one_which_is_skipped_when_it_fails(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, outcome: Outcome, state: State, becomes: State
) -> None:
    put(store, event(), old := planned_delivery(group=Latest("[1]")))
    [claim] = take(store)
    put(store, event(), between := planned_delivery(group=Latest("[1]")))
    put(store, event(), new := planned_delivery(group=Latest("[1]")))
    heard: list[Any] = []
    store.on_due(heard.append)

    assert take(store) == []
    assert [d.id for d in store.deliveries() if d.behind] == [new.id]
    done = Settlement(old.id, claim.token, outcome, state, NOW + 5, NOW + 60_000)
    assert store.settle([done]).result(60) == [becomes]

    assert heard == [{"ci": NOW}]
    assert state_of(store, old)[0] is becomes
    assert state_of(store, between) == (State.SKIPPED, SkipReason.NEWER, new.id)
    assert [claim.delivery.id for claim in take(store)] == [new.id]
    found = store.delivery(old.id)
    assert found is not None and found.error == outcome.error
    assert [attempt.outcome for attempt in store.attempts(old.id)] == [outcome.kind]


def test_a_claim_given_back_is_skipped_when_a_newer_delivery_waits(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), old := planned_delivery(group=Latest("[1]")))
    [claim] = take(store)
    put(store, event(), new := planned_delivery(group=Latest("[1]")))

    assert store.release(claim).result(60)

    assert state_of(store, old) == (State.SKIPPED, SkipReason.NEWER, new.id)
    assert store.attempts(old.id) == []
    assert [claim.delivery.id for claim in take(store)] == [new.id]


def test_a_failed_delivery_is_retried_unless_a_newer_one_waits(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), old := planned_delivery(group=Latest("[1]")))
    [claim] = take(store)
    put(store, event(), new := planned_delivery(group=Latest("[1]")))
    store.cancel([new.id], NOW).result(60)

    settle(store, claim, Outcome.retry("x"), State.PENDING)

    assert state_of(store, old) == PENDING


def test_a_cancelled_running_delivery_lets_the_newer_one_go(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), old := planned_delivery(group=Latest("[1]")))
    take(store)
    put(store, event(), new := planned_delivery(group=Latest("[1]")))

    store.cancel([old.id], NOW).result(60)

    assert state_of(store, old)[0] is State.CANCELLED
    assert [claim.delivery.id for claim in take(store)] == [new.id]


def test_a_skipped_delivery_lets_the_next_of_its_order_go(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), planned_delivery(order_key="a", group=Latest("[1]")))
    put(store, event(), next_one := planned_delivery(order_key="a"))
    heard: list[Any] = []
    store.on_due(heard.append)

    put(store, event(received_at=NOW + 9), planned_delivery(order_key="a", group=Latest("[1]")))

    assert heard == [{"ci": NOW}]
    assert [claim.delivery.id for claim in take(store)] == [next_one.id]


def test_each_new_delivery_restarts_the_wait_up_to_its_limit(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    due = []
    for after in (0, 20, 40, 60, 80, 200):
        put(store, event(received_at=NOW + after), planned_delivery(group=Latest("[1]", 30, 70)))
        due.append(store.due()["ci"] - NOW)
    assert due == [30, 50, 70, 70, 80, 200]

    [claim] = take(store, now=NOW + 200)
    settle(store, claim, Outcome.retry("x"), State.PENDING)
    put(store, event(received_at=NOW + 210), planned_delivery(group=Latest("[1]", 30, 70)))

    assert store.due() == {"ci": NOW + 240}  # an attempt was made, so that the longest wait starts again


def test_a_clock_set_back_does_not_lengthen_a_wait(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(received_at=NOW), planned_delivery(group=Latest("[1]", 300, 700)))
    store.shorten_waits(NOW + 1).result(60)
    assert store.due() == {"ci": NOW + 300}

    for now in (NOW - 5000, NOW - 9000, NOW - 9000):
        store.shorten_waits(now).result(60)
        assert store.due() == {"ci": now + 300}

    put(store, event(received_at=NOW - 8900), planned_delivery(group=Latest("[1]", 300, 700)))
    assert store.due() == {"ci": NOW - 8600}


def test_a_clock_set_back_restarts_the_longest_wait(store: Store, event: MakeEvent, planned_delivery: MakePlan) -> None:
    put(store, event(received_at=NOW), planned_delivery(group=Latest("[1]", 300, 700)))
    store.shorten_waits(NOW - 100).result(60)

    put(store, event(received_at=NOW + 500), planned_delivery(group=Latest("[1]", 300, 700)))

    assert store.due() == {"ci": NOW + 600}  # 700 ms after the clock was set back


def test_no_wait_exceeds_the_longest_after_a_clock_set_back(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(received_at=NOW), planned_delivery(group=Latest("[1]", 300, 700)))
    put(store, event(received_at=NOW + HOUR), planned_delivery(group=Latest("[1]", 300, 700)))
    assert store.due() == {"ci": NOW + HOUR}  # the first of its group has waited longer than the longest wait

    store.shorten_waits(NOW).result(60)

    assert store.due() == {"ci": NOW + 700}


def test_the_first_delivery_of_a_value_skips_later_ones_within_its_time(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    plan = [planned_delivery(group=Once("[1]", 1000)) for _ in range(5)]
    for one, after in zip(plan, (0, 999, 1000, 1001, 1999), strict=True):
        put(store, event(received_at=NOW + after), one)

    first, second, third, *others = plan
    assert state_of(store, first) == state_of(store, third) == PENDING
    assert state_of(store, second) == (State.SKIPPED, SkipReason.EARLIER, first.id)
    assert [state_of(store, one) for one in others] == [(State.SKIPPED, SkipReason.EARLIER, third.id)] * 2


def test_a_clock_set_back_skips_a_value_no_longer_than_its_time(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(received_at=NOW), planned_delivery(group=Once("[1]", 1000)))
    put(store, event(received_at=NOW - 999), near := planned_delivery(group=Once("[1]", 1000)))
    put(store, event(received_at=NOW - 1000), far := planned_delivery(group=Once("[1]", 1000)))

    assert state_of(store, near)[0] is State.SKIPPED
    assert state_of(store, far) == PENDING


def test_an_expired_first_delivery_may_be_pruned_before_the_clock_is_set_back(
    sqlite_store: SqliteStore, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(sqlite_store, event(received_at=NOW), planned_delivery(group=Once("[1]", 1000)))
    put(sqlite_store, event(received_at=NOW + 1000), planned_delivery(group=Once("[2]", 1000)))

    put(sqlite_store, event(received_at=NOW + 500), again := planned_delivery(group=Once("[1]", 1000)))

    assert state_of(sqlite_store, again) == PENDING


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_the_next_delivery_of_a_value_is_made_after_a_dead_or_cancelled_first_one(
    store: Store, event: MakeEvent, planned_delivery: MakePlan, end: str
) -> None:
    put(store, event(), first := planned_delivery(group=Once("[1]", 1000)))
    put(store, event(), second := planned_delivery(group=Once("[1]", 1000)))
    if end == "dead":
        [claim] = take(store)
        settle(store, claim, Outcome.failed("x"), State.DEAD)
    else:
        store.cancel([first.id], NOW).result(60)

    put(store, event(), third := planned_delivery(group=Once("[1]", 1000)))
    put(store, event(), fourth := planned_delivery(group=Once("[1]", 1000)))

    assert state_of(store, second)[0] is State.SKIPPED
    assert state_of(store, third) == PENDING
    assert state_of(store, fourth) == (State.SKIPPED, SkipReason.EARLIER, third.id)


def test_deliveries_of_one_event_join_their_group_in_the_order_of_the_plan(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    latest = [planned_delivery(group=Latest("[1]")) for _ in range(3)]
    once = [planned_delivery(group=Once("[1]", 1000), action="b") for _ in range(3)]

    put(store, event(), *latest, *once)

    assert [state_of(store, one)[0] for one in latest] == [State.SKIPPED, State.SKIPPED, State.PENDING]
    assert [state_of(store, one)[0] for one in once] == [State.PENDING, State.SKIPPED, State.SKIPPED]


def test_a_replayed_delivery_no_longer_belongs_to_its_group(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), old := planned_delivery(group=Latest("[1]")))
    put(store, event(), new := planned_delivery(group=Latest("[1]")))

    assert store.replay([old.id], NOW).result(60) == [old.id]
    put(store, event(), newest := planned_delivery(group=Latest("[1]")))

    assert state_of(store, old) == state_of(store, newest) == PENDING
    assert state_of(store, new) == (State.SKIPPED, SkipReason.NEWER, newest.id)
    assert [claim.delivery.id for claim in take(store)] == [old.id, newest.id]
    assert store.plan_again(
        store.events()[0].id, [again := planned_delivery(group=Latest("[1]"))], RulesetText("r2", "", ""), NOW
    ).result(60)
    assert [claim.delivery.id for claim in take(store)] == [again.id]


def test_the_first_delivery_still_counts_when_it_is_replayed(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), first := planned_delivery(group=Once("[1]", 1000)))
    [claim] = take(store)
    settle(store, claim, Outcome.succeeded(), State.SUCCEEDED)
    store.replay([first.id], NOW).result(60)

    put(store, event(), second := planned_delivery(group=Once("[1]", 1000)))

    assert state_of(store, second) == (State.SKIPPED, SkipReason.EARLIER, first.id)


def test_a_follower_gets_each_skipped_delivery_after_its_attempts(
    store: Store, event: MakeEvent, planned_delivery: MakePlan
) -> None:
    put(store, event(), tried := planned_delivery(group=Latest("[1]")))
    [claim] = take(store)
    put(store, event(received_at=NOW + 3), waiting := planned_delivery(group=Latest("[1]")))
    put(store, event(received_at=NOW + 7), new := planned_delivery(group=Latest("[1]")))
    settle(store, claim, Outcome.retry("x"), State.PENDING)
    put(store, event(received_at=NOW + 8), first := planned_delivery(action="b", group=Once("[1]", 1000)))
    put(store, event(received_at=NOW + 9), second := planned_delivery(action="b", group=Once("[1]", 1000)))

    ends = store.ended({}).ends

    assert [(type(end).__name__, end.delivery_id) for end in ends] == [
        ("SkippedDelivery", waiting.id),
        ("EndedAttempt", tried.id),
        ("SkippedDelivery", tried.id),
        ("SkippedDelivery", second.id),
    ]
    skips = [end for end in ends if isinstance(end, SkippedDelivery)]
    assert [(skip.at, skip.reason, skip.skipped_for) for skip in skips] == [
        (NOW + 7, SkipReason.NEWER, new.id),
        (NOW + 7, SkipReason.NEWER, new.id),
        (NOW + 9, SkipReason.EARLIER, first.id),
    ]
    assert store.position_at(NOW + 9).ended == {ends[-1].writer: ends[-1].seq - 1}
    store.replay([second.id], NOW).result(60)
    assert len(store.ended({}).ends) == 3  # it is no longer skipped
