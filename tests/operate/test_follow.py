"""A follower of a store gets each event and each ended attempt once and in order, during other writes."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.domain.stream import Arrival, EndedAttempt, StreamPosition
from router.operate.follow import Follower, StreamFilter, StreamItem, latest
from router.store.contract import PAGE
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store, with the ruleset r1."""
    with closing(open_store(tmp_path / "store.db")) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
        yield store


def event(at: int = NOW, source: str = "hub") -> Event:
    """An event that was received at this time."""
    return Event(uuid7(at), source, "POST", f"/hooks/{source}", "", (), b"{}", "192.0.2.1", at)


def planned(rule: str = "deploy", target: str = "ci", at: int = NOW) -> PlannedDelivery:
    """A planned delivery."""
    return PlannedDelivery(uuid7(at), rule, "forward", "forward", target)


def attempt(store: SqliteStore, at: int = NOW, outcome: Outcome | None = None, target: str = "ci") -> list[str]:
    """Attempt all due deliveries. Return their ids."""
    done = []
    for claim in store.claim({target: 5000}, at).result(60):
        result = outcome or Outcome.succeeded(200)
        state = State.DEAD if outcome else State.SUCCEEDED
        done.append(store.settle([Settlement(claim.delivery.id, claim.token, result, state, at, at)]))
    return [str(future.result(60)[0]) for future in done]


def put(store: SqliteStore, one: Event, *plan: PlannedDelivery) -> str:
    """Append an event and wait for the commit. Return its id."""
    return store.append(one, plan, "r1").result(60).event_id


def names(news: list[StreamItem]) -> list[tuple[str, str]]:
    """Each item as (kind, id)."""
    return [("event", one.id) if isinstance(one, Arrival) else ("attempt", one.delivery_id) for one in news]


def test_events_come_before_their_attempts_in_time_order(store: SqliteStore) -> None:
    follower = Follower(store, store.newest())
    plans = [planned(at=NOW + n) for n in range(3)]
    events = [put(store, event(NOW + 10 * n), plan) for n, plan in enumerate(plans)]
    for n in range(3):
        assert attempt(store, NOW + 10 * n) == ["succeeded"]

    found = names(list(follower.new_items()))

    expected: list[tuple[str, str]] = []
    for one, plan in zip(events, plans, strict=True):
        expected += [("event", one), ("attempt", plan.id)]
    assert found == expected
    assert list(follower.new_items()) == []


def test_an_attempt_follows_its_event_even_when_the_clock_was_set_back(store: SqliteStore) -> None:
    follower = Follower(store, store.newest())
    plan = planned()
    one = put(store, event(NOW), plan)
    other = put(store, event(NOW - 5))
    [claim] = store.claim({"ci": 1}, NOW).result(60)
    store.settle([Settlement(plan.id, claim.token, Outcome.succeeded(), State.SUCCEEDED, NOW - 9, NOW)]).result(60)

    assert names(list(follower.new_items())) == [("event", one), ("attempt", plan.id), ("event", other)]


def test_more_than_one_page_of_events_and_attempts_is_followed(store: SqliteStore) -> None:
    follower = Follower(store, store.newest())
    count = PAGE * 2 + 7
    for future in [store.append(event(NOW + n), [planned()], "r1") for n in range(count)]:
        future.result(60)
    assert len(attempt(store, NOW + count)) == count

    found = names(list(follower.new_items()))

    assert len(found) == len(set(found)) == 2 * count


FILTERS = [
    (StreamFilter(), ["hub/deploy", "hub/notify", "hub", "lab/deploy"], ["deploy", "notify", "deploy"]),
    (StreamFilter(source="lab"), ["lab/deploy"], ["deploy"]),
    (StreamFilter(rule="deploy"), ["hub/deploy", "lab/deploy"], ["deploy", "deploy"]),
    (StreamFilter(target="mail"), ["hub/notify"], ["notify"]),
    (StreamFilter(rule="deploy", target="mail"), [], []),
    (StreamFilter(failed=True), [], ["notify"]),
    (StreamFilter(failed=True, rule="deploy"), [], []),
    (StreamFilter(source="nowhere"), [], []),
]


@pytest.mark.parametrize(("which", "events", "attempts"), FILTERS)
def test_a_filter_shows_events_with_a_matching_delivery(
    store: SqliteStore, which: StreamFilter, events: list[str], attempts: list[str]
) -> None:
    follower = Follower(store, store.newest())
    put(store, event(), planned("deploy"))
    put(store, event(), planned("notify", "mail"))
    put(store, event())
    put(store, event(source="lab"), planned("deploy"))
    attempt(store)
    attempt(store, outcome=Outcome.failed("no"), target="mail")

    found = [one for one in follower.new_items() if which.matches(one)]

    arrived = ["/".join([one.source, *(rule for rule, _, _ in one.plan)]) for one in found if isinstance(one, Arrival)]
    assert arrived == events
    assert [one.rule for one in found if isinstance(one, EndedAttempt)] == sorted(attempts)


def test_following_continues_after_the_latest_lines(store: SqliteStore) -> None:
    plans = [planned(at=NOW + n) for n in range(20)]
    for n, plan in enumerate(plans):
        put(store, event(NOW + n), plan)
        attempt(store, NOW + n)

    follower, shown = latest(store, 3, StreamFilter())

    assert [name for name, _ in names(shown)] == ["attempt", "event", "attempt"]
    assert names(shown)[-1] == ("attempt", plans[-1].id)
    assert list(follower.new_items()) == []
    one = put(store, event(NOW + 99))
    assert names(list(follower.new_items())) == [("event", one)]
    assert latest(store, 0, StreamFilter())[1] == []
    assert len(latest(store, 10_000, StreamFilter())[1]) == 41


class Turmoil:
    """Writes to a store: appends, attempts with each result, claims given back, cancels, and retention."""

    def __init__(self, store: SqliteStore, rounds: int) -> None:
        self.store = store
        self.count = rounds
        self.events: set[str] = set()
        self.attempts: set[tuple[str, int]] = set()
        self.seen_until = NOW  #: received_at of the newest event that the follower got; only older ones may be pruned
        self.pruned = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Make all writes."""
        try:
            self._write()
        finally:
            self.ended.set()

    def _write(self) -> None:
        chance = random.Random(7)
        after: int | None = 0
        for n in range(self.count):
            at = NOW + 1 + n
            futures = [
                self.store.append(event(at), [planned(at=at)] * (i % 2), "r1") for i in range(chance.randrange(8))
            ]
            self.events |= {future.result(60).event_id for future in futures}
            for claim in self.store.claim({"ci": chance.randrange(12)}, at).result(60):
                self._attempt(claim, at, chance.random())
            if n % 20 == 0:
                done = self.store.prune(self.seen_until, self.seen_until, after or 0).result(60)
                self.pruned, after = self.pruned + done.events, done.next_after

    def _attempt(self, claim: Claim, at: int, chance: float) -> None:
        delivery = claim.delivery.id
        if chance < 0.1:
            assert self.store.release(claim).result(60)
            return
        self.attempts.add((delivery, claim.attempt))
        if chance < 0.15:
            assert self.store.cancel([delivery], at).result(60) == [delivery]
            return
        retry = chance < 0.4
        outcome = Outcome.retry("down", 503) if retry else Outcome.succeeded(200)
        # As a settlement whose commit was delayed: its time is long past.
        done = Settlement(
            delivery, claim.token, outcome, State.PENDING if retry else State.SUCCEEDED, at - 5000, at + 1
        )
        assert self.store.settle([done]).result(60)[0]


def test_a_follower_gets_each_item_once_during_writes_and_retention(store: SqliteStore, tmp_path: Path) -> None:
    heard: list[tuple[str, object]] = []
    place = store.newest()
    turmoil = Turmoil(store, 600)
    with closing(SqliteOperatorStore(tmp_path / "store.db")) as beside, ThreadPoolExecutor(1) as pool:
        running = pool.submit(turmoil.run)
        follower = Follower(beside, place)
        seen: int | None = None
        last_look = False
        while not last_look:
            last_look = turmoil.ended.wait(0.001)  # lets the writer run between two reads
            changes = beside.changes()
            if changes != seen or last_look:
                for one in follower.new_items():
                    if isinstance(one, Arrival):
                        heard.append(("event", one.id))
                        turmoil.seen_until = one.received_at - 50  # 50 rounds later all its attempts have ended
                    elif isinstance(one, EndedAttempt):
                        heard.append(("attempt", (one.delivery_id, one.attempt.number)))
            seen = changes
        running.result()

    assert turmoil.pruned > 40
    assert len(heard) == len(set(heard))
    assert {one for kind, one in heard if kind == "event"} == turmoil.events
    assert {one for kind, one in heard if kind == "attempt"} == turmoil.attempts
    assert len(turmoil.attempts) > 400


def test_pruned_events_do_not_stop_a_follower(store: SqliteStore) -> None:
    follower = Follower(store, StreamPosition())
    put(store, event(NOW), planned())
    attempt(store)
    put(store, event(NOW + 2))
    store.prune(NOW + 1, NOW + 1).result(60)

    assert [kind for kind, _ in names(list(follower.new_items()))] == ["event"]
