"""The delivery loop, with a real store and real receivers."""

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from structlog.testing import capture_logs

from router.daemon.registries import REGISTRIES
from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.action_answer import ActionAnswer
from router.domain.deliveries import Claim, State
from router.domain.events import Event, ParsedEvent
from router.domain.filters import Filter
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.domain.target_state import BreakerState, TargetLoad
from router.plugins.action import ActionType, AttemptInput, Tools
from router.plugins.options import Options
from router.plugins.registries import Registries
from router.plugins.target import TargetSpec
from router.rules.compile.loader import Loader
from router.rules.parsing import parse_event
from router.rules.ruleset import CurrentRuleset
from router.runtime.lease import Lease
from router.store.sqlite.operator_store import SqliteOperatorStore
from router.store.sqlite.pieces import LARGE_BYTES
from tests.conftest import Receiver, until
from tests.sqlite_template import open_store


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    """Return a function that starts a receiver."""
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        made[-1].start()
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()


class Running:
    """A store with a running dispatcher, without an intake."""

    def __init__(
        self, folder: Path, rules: str, registries: Registries = REGISTRIES, lease: Lease | None = None
    ) -> None:
        loader = Loader(registries, {})
        text = "sources: {s: {verify: none}}\n" + rules
        ruleset = loader.load(text, "rules.yaml", folder).require()
        self.path = folder / "store.db"
        self.store = open_store(self.path)
        self.store.put_ruleset(ruleset.text, now_ms()).result(60)
        self.current = CurrentRuleset(ruleset)
        compiled = lambda text: loader.load_recorded(text).require()  # noqa: E731
        self.dispatcher = Dispatcher(self.current, self.store, compiled, registries.actions, now_ms, lease=lease)
        self.dispatcher.start()

    def receive(self, payload: object, before: Callable[[str], None] = lambda _: None) -> str:
        """Append an event as the intake does. Return its id. First call `before` with the id of its first delivery."""
        now = now_ms()
        ruleset = self.current.ruleset
        headers = (("Content-Type", "application/json"),)
        event = Event(uuid7(now), "s", "POST", "/hooks/s", "", headers, json.dumps(payload).encode(), "127.0.0.1", now)
        plan = ruleset.plan(parse_event(event, ruleset.sources["s"]))
        if plan.deliveries:
            before(plan.deliveries[0].id)
        self.store.append(event, plan.deliveries, ruleset.hash).result(60)
        return event.id

    def count(self, *states: State, rule: str | None = None) -> int:
        """The number of deliveries in these states."""
        return self.store.count(Filter(states=states, rule=rule))

    def load(self, key: str) -> TargetLoad:
        """The load of one target."""
        return next(load for load in self.dispatcher.loads() if load.key == key)

    def close(self) -> None:
        self.dispatcher.stop(0)
        self.store.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a dispatcher with rules, and with other action types if they are given."""
    made: list[Running] = []

    def make(rules: str, registries: Registries = REGISTRIES, lease: Lease | None = None) -> Running:
        made.append(Running(tmp_path, rules, registries, lease))
        return made[-1]

    yield make
    for one in made:
        one.close()


RULES = """
targets:
  a: {url: %s, concurrency: 2, breaker: {failures: 3, pause: 300ms}}
  b: {url: %s}
defaults: {retry: {initial: 50ms, max: 50ms}}
rules:
  - {name: to-a, match: {$.to: a}, actions: [forward: {target: a}]}
  - {name: to-b, match: {$.to: b}, actions: [forward: {target: b}]}
"""


def test_an_open_breaker_makes_few_attempts_at_a_target_that_is_down(
    running: Callable[[str], Running], receivers: Callable[[], Receiver]
) -> None:
    down, up = receivers(), receivers()
    down.status = 503
    daemon = running(RULES % (down.url, up.url))

    for _ in range(20):
        daemon.receive({"to": "a"})
    until(lambda: "a" in json.loads(daemon.store.notes()["breakers"]))
    note = json.loads(daemon.store.notes()["breakers"])["a"]
    assert note["state"] in ("open", "half-open")
    assert note["failures"] >= 3
    assert 0 <= note["until"] - note["since"] < 60_000
    daemon.receive({"to": "b"})
    until(lambda: daemon.count(State.SUCCEEDED, rule="to-b"))
    attempted = len(down.requests)
    assert attempted <= 3 + 2 + 10  # three open it, two run then, some probe. Without a breaker: 40 a second

    down.status = 200
    until(lambda: daemon.count(State.SUCCEEDED, rule="to-a") == 20)
    until(lambda: json.loads(daemon.store.notes()["breakers"]) == {})


def test_a_removed_breaker_is_no_longer_reported(
    running: Callable[[str], Running], receivers: Callable[[], Receiver], tmp_path: Path
) -> None:
    down = receivers()
    down.status = 503
    with_breaker = RULES.replace("pause: 300ms", "pause: 1m") % (down.url, down.url)
    daemon = running(with_breaker)
    for _ in range(5):
        daemon.receive({"to": "a"})
    until(lambda: "a" in json.loads(daemon.store.notes()["breakers"]))

    without = "sources: {s: {verify: none}}\n" + with_breaker.replace("{failures: 3, pause: 1m}", "none")
    daemon.current.ruleset = Loader(REGISTRIES, {}).load(without, "rules.yaml", tmp_path).require()

    until(lambda: json.loads(daemon.store.notes()["breakers"]) == {})


def test_a_hanging_target_blocks_only_its_own_slots(
    running: Callable[[str], Running], receivers: Callable[[], Receiver]
) -> None:
    hung, up = receivers(), receivers()
    hung.answering.clear()
    daemon = running(RULES % (hung.url, up.url))

    for _ in range(50):
        daemon.receive({"to": "a"})
        daemon.receive({"to": "b"})

    until(lambda: daemon.count(State.SUCCEEDED, rule="to-b") == 50)
    until(lambda: len(hung.requests) >= 2)
    assert len(hung.requests) == 2
    assert daemon.count(State.RUNNING) == 2
    hung.answering.set()
    until(lambda: daemon.count(State.SUCCEEDED, rule="to-a") == 50)


def test_the_payload_is_parsed_only_for_actions_that_read_it(
    running: Callable[[str], Running], receivers: Callable[[], Receiver]
) -> None:
    target = receivers()
    daemon = running(
        "rules:\n"
        f"  - {{name: as-it-is, actions: [forward: '{target.url}']}}\n"
        f"  - {{name: looks, actions: [forward: {{url: '{target.url}', headers: {{X-A: '{{{{ payload.a }}}}'}}}}]}}\n"
    )
    now = now_ms()
    headers = (("Content-Type", "application/json"),)
    # An event that was received when its source had `parse: text`.
    event = Event(uuid7(now), "s", "POST", "/hooks/s", "", headers, b"no {json}", "127.0.0.1", now)
    ruleset = daemon.current.ruleset
    daemon.store.append(event, ruleset.plan(ParsedEvent(event, "no {json}")).deliveries, ruleset.hash).result(60)

    until(lambda: daemon.count(State.SUCCEEDED, rule="as-it-is"))
    until(lambda: daemon.count(State.DEAD, rule="looks"))
    [dead] = daemon.store.deliveries(Filter(states=(State.DEAD,)))
    assert "can't be parsed by the current settings of its source" in dead.error
    assert len(target.requests) == 1


def test_a_replayed_delivery_is_delivered_at_once(
    running: Callable[[str], Running], receivers: Callable[[], Receiver]
) -> None:
    target = receivers()
    target.status = 410
    daemon = running(RULES % (target.url, target.url))
    daemon.receive({"to": "b"})
    until(lambda: daemon.count(State.DEAD))
    target.status = 200
    [dead] = daemon.store.deliveries()

    with closing(SqliteOperatorStore(daemon.path)) as beside:
        assert beside.replay([dead.id], now_ms()).result(60) == [dead.id]

    until(lambda: daemon.count(State.SUCCEEDED))
    assert [a.status for a in daemon.store.attempts(dead.id)] == [410, 200]


def test_a_delivery_cancelled_while_running_is_not_retried(
    running: Callable[[str], Running], receivers: Callable[[], Receiver]
) -> None:
    target = receivers()
    target.status = 503
    target.answering.clear()
    daemon = running(RULES % (target.url, target.url))
    daemon.receive({"to": "b"})
    until(lambda: target.requests)
    [running_one] = daemon.store.deliveries()

    with closing(SqliteOperatorStore(daemon.path)) as beside:
        assert beside.cancel([running_one.id], now_ms()).result(60) == [running_one.id]
    target.answering.set()
    daemon.receive({"to": "b"})  # when this one has two attempts, a retry of the other would have been made as well
    until(lambda: len(target.requests) >= 3)

    assert [r.headers["idempotency-key"] for r in target.requests].count(running_one.id) == 1
    assert daemon.count(State.CANCELLED) == 1
    [attempt] = daemon.store.attempts(running_one.id)
    assert attempt.error == "cancelled while it was made"


class _Faulty:
    """An action with a bug."""

    type = "faulty"
    target = TargetSpec("faulty", 1)

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        return {}

    async def attempt(self, job: AttemptInput, tools: Tools[None]) -> Outcome:
        raise LookupError(job.claim.delivery.id)


def test_an_unexpected_exception_follows_the_retry_policy(running: Callable[..., Running]) -> None:
    faulty = ActionType(name="faulty", options=Options, compile=lambda *_: _Faulty(), retry_defaults={"attempts": 1})
    registries = replace(REGISTRIES, actions={**REGISTRIES.actions, "faulty": faulty})
    daemon = running("rules: [{name: r, actions: [faulty: {}]}]", registries)

    daemon.receive({})

    until(lambda: daemon.count(State.DEAD))
    [dead] = daemon.store.deliveries()
    assert dead.error == "internal error (LookupError)"
    assert len(daemon.store.attempts(dead.id)) == 1


def test_an_attempt_with_a_damaged_body_fails_with_the_reason_and_delays_no_other(
    running: Callable[..., Running],
) -> None:
    rules = "rules: [{name: r, actions: [{append: x, order_by: $.key, retry: {attempts: 2, initial: 1ms}}]}]"
    stopped = running(rules)
    stopped.dispatcher.stop(0)
    damaged = stopped.receive({"key": 1, "large": "x" * LARGE_BYTES})
    with closing(apsw.Connection(str(stopped.path))) as connection:
        connection.execute("DELETE FROM piece WHERE number = 1")
    stopped.receive({"key": 1})
    stopped.store.close()

    daemon = running(rules)

    until(lambda: (daemon.count(State.DEAD), daemon.count(State.SUCCEEDED)) == (1, 1))
    [dead] = daemon.store.deliveries(Filter(states=(State.DEAD,)))
    assert dead.event_id == damaged
    assert dead.error is not None and dead.error.startswith(f"the body of event {damaged} is damaged: ")
    assert len(daemon.store.attempts(dead.id)) == 2


def test_target_states_can_be_read_from_another_thread(
    running: Callable[[str], Running], receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    receiver.status = 503
    rules = """
targets: {{ci: {{url: "{url}", concurrency: {slots}, rate: 50/s, breaker: {{failures: 1, pause: 1h, max_pause: 1h}}}}}}
rules: [{{name: r, actions: [{{forward: {{target: ci, path: /hang}}}}]}}]
"""
    daemon = running(rules.format(url=receiver.url, slots=3))
    assert daemon.load("ci") == TargetLoad("ci", 0, 3, 50.0, 5.0, BreakerState.CLOSED, 0)

    daemon.receive({})
    until(lambda: receiver.requests)
    assert (daemon.load("ci").running, daemon.load("ci").breaker) == (1, BreakerState.CLOSED)

    receiver.release.set()
    until(lambda: daemon.load("ci").breaker is BreakerState.OPEN and not daemon.load("ci").running)
    assert daemon.load("ci").failures == 1

    text = "sources: {s: {verify: none}}\n" + rules.format(url=receiver.url, slots=9)
    daemon.current.ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", daemon.path.parent).require()
    assert (daemon.load("ci").concurrency, daemon.load("ci").breaker) == (9, BreakerState.OPEN)


def _failures_are_a_second_apart(daemon: Running, began: float, lines: list[Any]) -> None:
    """Wait for failures of a store that fails since `began` (monotonic), and check that they are a second apart."""

    def failures() -> int:
        return daemon.dispatcher._outage._failures  # the log has fewer and fewer of them

    until(lambda: failures() >= 3)
    assert failures() <= 1 + 1.1 * (time.monotonic() - began)
    assert any("deliveries wait" in line["event"] for line in lines)


def test_an_unreadable_store_is_retried_after_a_pause(running: Callable[[str], Running]) -> None:
    daemon = running(RULES % ("http://127.0.0.1:9", "http://127.0.0.1:9"))
    with capture_logs() as lines:
        began = time.monotonic()
        daemon.path.write_bytes(b"damage" * 10_000)
        _failures_are_a_second_apart(daemon, began, lines)


def test_a_failed_claim_is_retried_after_a_pause(running: Callable[[str], Running]) -> None:
    daemon = running((RULES % ("http://127.0.0.1:9", "http://127.0.0.1:9")).replace("50ms", "1s"))
    event = daemon.receive({"to": "b"})
    until(lambda: daemon.store.deliveries(Filter(event_id=event))[0].attempts)
    away = daemon.path.with_name("away")
    with capture_logs() as lines:
        began = time.monotonic()
        daemon.path.rename(away)  # a claim now would leave its delivery running when this process ends
        _failures_are_a_second_apart(daemon, began, lines)
    away.rename(daemon.path)


@pytest.mark.parametrize("key", ["once_by: $.k, within: 1h", "latest_by: $.k"])
def test_a_sender_does_not_wait_for_a_skipped_delivery(running: Callable[..., Running], key: str) -> None:
    command = "{shell: 'sleep 3600', concurrency: 9}"
    router = running(f"rules: [{{name: r, allow_unverified: true, actions: [{{command: {command}, {key}}}]}}]")
    router.receive({"k": 1})
    until(lambda: router.count(State.RUNNING) == 1)
    asked: list[Future[ActionAnswer | None]] = []
    expect = lambda one: asked.append(router.dispatcher.first_answers.expect(one, "r", "command", "r/command", 3600))  # noqa: E731

    router.receive({"k": 1}, expect)
    router.receive({"k": 1})  # with latest_by this is the newest

    assert router.count(State.SKIPPED) >= 1
    assert asked[0].result(60) is None


def test_after_an_expired_lease_no_attempt_begins_before_the_limits_are_read_again(
    running: Callable[..., Running],
) -> None:
    """A node that was frozen joins again. Another node may have got its slots."""
    lease = Lease()
    router = running("rules: [{name: r, actions: [append: out.jsonl]}]", lease=lease)

    def may_begin() -> bool:
        answer = router.dispatcher.first_answers.expect("a delivery", "r", "append", "r/append", 3600)
        at_once = answer.done()
        router.dispatcher.first_answers.forget("a delivery")
        return not at_once

    until(may_begin)
    lease.renew(0.0)
    lease.renew(math.inf)
    assert not may_begin()
    router.receive({})

    router.dispatcher.fleet_side.take_shares({})

    until(lambda: router.count(State.SUCCEEDED) == 1)
    assert may_begin()


def test_a_claim_that_was_given_back_before_its_answer_came_starts_no_attempt(
    monkeypatch: pytest.MonkeyPatch, running: Callable[..., Running]
) -> None:
    """The node's thread gives back claims whose answers seem lost. Then another node may run such a delivery."""
    router = running("rules: [{name: r, actions: [append: out.jsonl]}]")
    claim, tokens = router.store.claim, list[str]()

    def late(*wanted: Any) -> "Future[list[Claim]]":
        answer = claim(*wanted)
        found = {one.token for one in answer.result(60)}
        if found and not tokens:
            assert router.dispatcher.fleet_side.claims.disown(found) == found
        tokens.extend(found)
        return answer

    monkeypatch.setattr(router.store, "claim", late)
    router.receive({})

    until(lambda: router.count(State.SUCCEEDED) == 1)
    assert len(tokens) == 2
    until(lambda: router.dispatcher.fleet_side.claims.disown(set(tokens)) == set(tokens))  # neither runs any more
