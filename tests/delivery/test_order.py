"""Deliveries of one order key arrive one at a time, in the store's order, also after failures and restarts."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import apsw
import orjson
import pytest

from router.daemon.wall_clock import now_ms
from router.domain.deliveries import State
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.ids import uuid7
from router.rules.parsing import parse_event
from tests.acceptance.recording_receiver import RecordedRequest, RecordingReceiver
from tests.conftest import until
from tests.delivery.test_dispatcher import Running

LANES, EVENTS, SENDERS, CONCURRENCY = 20, 120, 4, 8
RULES = """
targets: {{one: {{url: "{url}", concurrency: {most}, breaker: none}}}}
defaults: {{retry: {{initial: 10ms, max: 40ms}}}}
rules:
  - name: a
    actions: [{{forward: {{target: one, path: /ordered/a, headers: {{X-Run: "{run}"}}}}, order_by: $.lane}}]
  - name: b
    actions: [{{forward: {{target: one, path: /ordered/b, headers: {{X-Run: "{run}"}}}}, order_by: $.lane}}]
"""


@pytest.fixture
def witness() -> Iterator[RecordingReceiver]:
    """A receiver that answers some requests late or with an error, and closes some connections."""
    witness = RecordingReceiver()
    yield witness
    witness.stop()


@pytest.fixture
def live(tmp_path: Path, witness: RecordingReceiver) -> Iterator[Callable[[], Running]]:
    """Return a function that restarts the dispatcher on the same store."""
    lives: list[Running] = []

    def begin() -> Running:
        if lives:
            lives[-1].close()
        lives.append(Running(tmp_path, RULES.format(url=witness.url, most=CONCURRENCY, run=len(lives))))
        return lives[-1]

    yield begin
    lives[-1].close()


def _receive(running: Running, events: Iterable[tuple[int, int]], sender: int = 0) -> None:
    """Append events, given by lane and place, without waiting for each, so that some share a commit."""
    ruleset = running.current.ruleset
    asked = []
    for lane, place in events:
        payload = orjson.dumps({"lane": f"lane-{lane}", "place": place, "sender": sender})
        headers = (("Content-Type", "application/json"),)
        event = Event(uuid7(now_ms()), "s", "POST", "/hooks/s", "", headers, payload, "127.0.0.1", now_ms())
        plan = ruleset.plan(parse_event(event, ruleset.sources["s"]))
        asked.append(running.store.append(event, plan.deliveries, ruleset.hash))
    for future in asked:
        future.result(30)


def _some(sender: int) -> list[tuple[int, int]]:
    chance = random.Random(sender)
    return [(chance.randrange(LANES), place) for place in range(EVENTS // SENDERS)]


def _settled(running: Running) -> bool:
    return not running.count(State.PENDING, State.RUNNING)


def _arrivals(witness: RecordingReceiver) -> dict[str, list[RecordedRequest]]:
    """The requests by lane. A request from before a restart may be read late, but it names its dispatcher."""
    lanes: dict[str, list[RecordedRequest]] = {}
    for seen in sorted(witness.requests, key=lambda one: one.run):
        lanes.setdefault(seen.lane, []).append(seen)
    return lanes


def _places(path: Path) -> dict[str, int]:
    """The place of each delivery in the store's order."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        rows = connection.execute("SELECT id, coalesce(place, seq) FROM delivery").fetchall()
    return {str(delivery): int(str(place)) for delivery, place in rows}


def test_order_holds_across_failures_restarts_and_many_keys(
    live: Callable[[], Running], witness: RecordingReceiver
) -> None:
    running = live()
    threads = [threading.Thread(target=_receive, args=(running, _some(n), n)) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for restart in (1, 2):
        until(lambda goal=restart * EVENTS // 2: witness.succeeded >= goal)  # type: ignore[misc]
        running = live()  # running attempts are cut off and made again
    until(lambda: _settled(running))

    places = _places(running.path)
    lanes = _arrivals(witness)
    assert not witness.problems, witness.problems[:3]
    for lane, arrived in lanes.items():
        for before, after in pairwise(arrived):
            assert places[before.delivery] <= places[after.delivery], f"{lane}: {after} came after {before}"
    kept = {seen.delivery for seen in witness.requests if seen.succeeded}
    assert kept == set(places)
    assert len(kept) == 2 * EVENTS
    assert len(witness.requests) > len(kept) + 20  # there were retries
    assert witness.max_concurrent >= 4  # lanes did not wait for each other


def test_a_replay_goes_to_the_end_of_its_order_and_new_work_waits_for_the_running_one(
    live: Callable[[], Running], witness: RecordingReceiver
) -> None:
    lanes = range(3)
    witness.refused = {(f"lane-{lane}", 1) for lane in lanes}
    running = live()
    _receive(running, [(lane, place) for place in range(3) for lane in lanes])
    until(lambda: _settled(running))
    dead = [delivery.id for delivery in running.store.deliveries(Filter(states=(State.DEAD,)))]
    assert len(dead) == 2 * len(lanes)

    witness.answering.clear()
    _receive(running, [(lane, 3) for lane in lanes])
    until(lambda: sum(seen.ended is None for seen in witness.requests) == 2 * len(lanes))
    # These run, none waits behind them, and the target has free slots.
    _receive(running, [(lane, 4) for lane in lanes])
    witness.refused.clear()
    assert sorted(running.store.replay(dead, now_ms()).result(60)) == sorted(dead)
    _receive(running, [(lane, 5) for lane in lanes])
    witness.answering.set()
    until(lambda: _settled(running))

    assert not witness.problems, witness.problems[:3]
    for arrived in _arrivals(witness).values():
        order = [seen.place for seen in arrived]
        changes = [place for place, before in zip(order, [None, *order], strict=False) if place != before]
        assert changes == [0, 1, 2, 3, 4, 1, 5]
