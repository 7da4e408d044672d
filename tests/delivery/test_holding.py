"""Held deliveries, with a real store and receivers: they get no attempts, and their time limits stand still."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.daemon.registries import REGISTRIES
from router.daemon.wall_clock import now_ms
from router.delivery.retry import settlement
from router.domain.deliveries import Claim, Delivery, State
from router.domain.events import Event
from router.domain.outcomes import Outcome
from router.domain.retry_policy import RetryPolicy
from router.operate.held import held_depths
from router.rules.compile.loader import Loader
from router.store.sqlite.operator_store import SqliteOperatorStore
from tests.conftest import Receiver, until
from tests.delivery.test_dispatcher import Running

RULES = """
targets:
  a: {url: "%s"%s}
defaults: {retry: {initial: 20ms, max: 20ms}}
rules:
  - {name: one, match: {$.to: one}, actions: [{forward: {target: a}, order_by: $.lane}]}
  - {name: two, match: {$.to: two}, actions: [forward: {target: a}]}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of forwards."""
    made = Receiver()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def running(tmp_path: Path, receiver: Receiver) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a dispatcher. Another call restarts it on the same store."""
    made: list[Running] = []

    def make(more: str = "", edit: tuple[str, str] = ("", "")) -> Running:
        if made:
            made[-1].close()
        made.append(Running(tmp_path, (RULES % (receiver.url, more)).replace(*edit)))
        return made[-1]

    yield make
    made[-1].close()


def swap(daemon: Running, receiver: Receiver, more: str = "", edit: tuple[str, str] = ("", "")) -> None:
    """Replace the running rules, as a reload does."""
    text = "sources: {s: {verify: none}}\n" + (RULES % (receiver.url, more)).replace(*edit)
    ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", daemon.path.parent).require()
    daemon.store.put_ruleset(ruleset.text, now_ms()).result(60)
    daemon.current.ruleset = ruleset


def held(daemon: Running) -> int:
    """The number of held deliveries."""
    return sum(depth.held for depth in held_depths(daemon.store.depths(), daemon.store.holds(), now_ms()))


DISABLED = ("{name: one,", "{name: one, enabled: false,")
ACTION_DISABLED = ("order_by: $.lane}", "order_by: $.lane, enabled: false}")


def test_a_pause_by_another_process_holds_deliveries_soon(running: Callable[..., Running], receiver: Receiver) -> None:
    daemon = running()
    with closing(SqliteOperatorStore(daemon.path)) as operator, capture_logs() as lines:
        operator.pause("a", None, now_ms()).result(60)
        until(lambda: [line for line in lines if line["event"] == "target paused; its deliveries are held"])
        daemon.receive({"to": "one"})
        daemon.receive({"to": "two"})
        until(lambda: held(daemon) == 2)
        assert not receiver.requests

        operator.resume("a", now_ms()).result(60)
        until(lambda: daemon.count(State.SUCCEEDED) == 2)
    assert [line["target"] for line in lines if line["event"] == "no longer held; its deliveries continue"] == ["a"]


def test_a_pause_ends_by_itself(running: Callable[..., Running], receiver: Receiver) -> None:
    daemon = running()
    begun = time.monotonic()
    daemon.store.pause("a", now_ms() + 400, now_ms()).result(60)
    daemon.receive({"to": "one"})

    until(lambda: daemon.count(State.SUCCEEDED) == 1)

    assert time.monotonic() - begun >= 0.3


def test_a_pause_survives_a_restart(running: Callable[..., Running], receiver: Receiver) -> None:
    first = running()
    first.store.pause("a", None, now_ms()).result(60)
    first.receive({"to": "one"})
    with capture_logs() as lines:
        second = running()
        until(lambda: [line for line in lines if line["event"] == "target paused; its deliveries are held"])
    second.receive({"to": "two"})
    until(lambda: held(second) == 2)
    assert not receiver.requests

    second.store.resume("a", now_ms()).result(60)
    until(lambda: second.count(State.SUCCEEDED) == 2)


def test_a_target_paused_by_the_file_is_resumed_by_the_file(
    running: Callable[..., Running], receiver: Receiver
) -> None:
    daemon = running(", paused: true")
    daemon.receive({"to": "one"})
    until(lambda: held(daemon) == 1)
    daemon.store.resume("a", now_ms()).result(60)  # ends only a pause by command
    assert held(daemon) == 1

    swap(daemon, receiver)

    until(lambda: daemon.count(State.SUCCEEDED) == 1)


@pytest.mark.parametrize("edit", [DISABLED, ACTION_DISABLED])
def test_deliveries_of_a_disabled_rule_or_action_are_held(
    running: Callable[..., Running], receiver: Receiver, edit: tuple[str, str]
) -> None:
    receiver.status = 503
    daemon = running()
    for _ in range(3):
        daemon.receive({"to": "one", "lane": 1})
    until(lambda: receiver.requests)
    swap(daemon, receiver, edit=edit)
    until(lambda: held(daemon) == 3 and not daemon.count(State.RUNNING))
    attempts = len(receiver.requests)
    receiver.status = 200
    daemon.receive({"to": "two"})
    until(lambda: daemon.count(State.SUCCEEDED, rule="two") == 1)
    assert held(daemon) == 3  # the order of `one` is held, and the target is not
    assert len(receiver.requests) == attempts + 1
    assert daemon.store.depths()[0].oldest_at is None

    swap(daemon, receiver)
    until(lambda: daemon.count(State.SUCCEEDED, rule="one") == 3)


def test_a_disabled_rule_stays_held_after_a_restart(running: Callable[..., Running], receiver: Receiver) -> None:
    daemon = running(", paused: true")
    daemon.receive({"to": "one"})
    until(lambda: held(daemon) == 1)
    again = running(edit=DISABLED)
    again.receive({"to": "two"})
    until(lambda: again.count(State.SUCCEEDED, rule="two") == 1)
    assert (held(again), len(receiver.requests)) == (1, 1)

    last = running()
    until(lambda: last.count(State.SUCCEEDED, rule="one") == 1)
    assert last.store.marked_actions() == []


def test_a_replay_for_a_disabled_rule_spends_no_attempt(running: Callable[..., Running], receiver: Receiver) -> None:
    daemon = running()
    daemon.receive({"to": "one"})
    until(lambda: daemon.count(State.SUCCEEDED) == 1)
    swap(daemon, receiver, edit=DISABLED)
    [delivery] = daemon.store.deliveries()
    until(lambda: daemon.store.holds().by_file)

    daemon.store.replay([delivery.id], now_ms()).result(60)

    until(lambda: held(daemon) == 1)
    assert len(receiver.requests) == 1
    assert len(daemon.store.attempts(delivery.id)) == 1


def test_a_pause_lets_running_attempts_finish(running: Callable[..., Running], receiver: Receiver) -> None:
    receiver.answering.clear()
    daemon = running()
    daemon.receive({"to": "one"})
    until(lambda: receiver.requests)

    with capture_logs() as lines:
        daemon.store.pause("a", None, now_ms()).result(60)
        until(lambda: [line for line in lines if line["event"] == "target paused; its deliveries are held"])
    receiver.answering.set()

    until(lambda: daemon.count(State.SUCCEEDED) == 1)


def _failed(held_ms: int) -> State:
    """The state after a failed attempt 90 s after the first one. The delivery was held for `held_ms` of that time, and
    give_up_after is a minute."""
    delivery = Delivery(
        "d", 1, "e", "r", "a", "forward", "t", None, "h", State.RUNNING, 0, 1, 0, first_attempt_at=0, created_at=0
    )
    claim = Claim("token", delivery, Event("e", "s", "POST", "/", "", (), b"", "192.0.2.1", 0), 2)
    policy = RetryPolicy(initial=1, give_up_after=60)
    done = settlement(claim, Outcome.retry("no"), policy, started_at=90_000, now=90_000, spread=0, held_ms=held_ms)
    return done.state


def test_time_on_hold_does_not_count_for_give_up_after() -> None:
    assert _failed(0) is State.DEAD
    assert _failed(31_000) is State.DEAD
    assert _failed(32_000) is State.PENDING


def test_a_delivery_outlives_its_give_up_time_while_held(running: Callable[..., Running], receiver: Receiver) -> None:
    receiver.status = 503
    edit = ("retry: {initial: 20ms, max: 20ms}", "retry: {initial: 100ms, max: 100ms, give_up_after: 4s}")
    daemon = running(edit=edit)
    daemon.receive({"to": "two"})
    until(lambda: receiver.requests)
    daemon.store.pause("a", None, now_ms()).result(60)
    until(lambda: held(daemon) == 1 and not daemon.count(State.RUNNING))
    [delivery] = daemon.store.deliveries()
    first = delivery.first_attempt_at or 0
    until(lambda: now_ms() > first + 5000)
    tried = len(receiver.requests)

    daemon.store.resume("a", now_ms()).result(60)
    until(lambda: len(receiver.requests) > tried + 1)  # without the hold the first failed attempt would be the last

    until(lambda: daemon.count(State.DEAD) == 1)
