"""First attempts whose answer a sender waits for are made at once by this node, or later by any node."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.action_answer import ActionAnswer
from router.domain.deliveries import State
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.ids import uuid7
from router.rules.parsing import parse_event
from router.store.fleet import Share
from tests.conftest import Receiver, until
from tests.delivery.test_dispatcher import Running

LONG = 3600.0  #: seconds; a limit that no test reaches
RULES = """
targets: {hook: {url: URL, concurrency: 1}}
rules:
  - {name: ordered, match: {$.to: ordered}, actions: [{forward: "URL/hang", order_by: $.to}]}
  - {name: latest, match: {$.to: latest}, actions: [{forward: "URL/hang", latest_by: $.to}]}
  - {name: once, match: {$.to: once}, actions: [{forward: "URL/once", once_by: $.to, within: 1h}]}
  - {name: narrow, match: {$.to: narrow}, actions: [forward: {target: hook, path: /hang}]}
  - {name: script, match: {$.to: script}, allow_unverified: true, actions: [command: {shell: cat, concurrency: 3}]}
"""


@pytest.fixture
def daemon(tmp_path: Path, receiver: Receiver) -> Iterator[Running]:
    """A running dispatcher."""
    found = Running(tmp_path, RULES.replace("URL", receiver.url))
    yield found
    receiver.release.set()
    found.close()


Asked = Future[ActionAnswer | None]


def ask(daemon: Running, to: str, *, copies: int = 1) -> list[Asked]:
    """Store events as the intake does. Return the futures of their first answers."""
    now, ruleset = now_ms(), daemon.current.ruleset
    made = []
    for _ in range(copies):
        body = json.dumps({"to": to}).encode()
        headers = (("Content-Type", "application/json"),)
        event = Event(uuid7(now), "s", "POST", "/hooks/s", "", headers, body, "127.0.0.1", now)
        [planned] = (plan := ruleset.plan(parse_event(event, ruleset.sources["s"]))).deliveries
        asked = daemon.dispatcher.first_answers.expect(planned.id, planned.rule, planned.action, planned.target, LONG)
        made.append((event, plan.deliveries, asked))
    stored = [daemon.dispatcher.sink.append(event, plan, ruleset.hash) for event, plan, _ in made]
    for one in stored:
        one.result(60)
    return [asked for _, _, asked in made]


def test_the_answer_comes_from_the_first_attempt(daemon: Running) -> None:
    answers = [asked.result(60) for asked in ask(daemon, "script", copies=3)]

    assert [answer.body for answer in answers if answer is not None] == [b'{"to": "script"}'] * 3
    until(lambda: daemon.count(State.SUCCEEDED) == 3)
    assert [len(daemon.store.attempts(one.id)) for one in daemon.store.deliveries(Filter())] == [1, 1, 1]
    assert all(load.running == 0 for load in daemon.dispatcher.loads())


@pytest.mark.parametrize("to", ["ordered", "latest"])
def test_a_delivery_that_waits_for_another_gives_no_answer_and_is_attempted_later(
    daemon: Running, receiver: Receiver, to: str
) -> None:
    [first] = ask(daemon, to)
    until(lambda: len(receiver.requests) == 1)
    [second] = ask(daemon, to)

    assert second.result(60) is None
    assert not first.done()
    receiver.release.set()
    assert first.result(60) is not None
    until(lambda: daemon.count(State.SUCCEEDED) == 2)  # the second is no longer reserved


def test_a_skipped_delivery_gives_the_sender_no_answer(daemon: Running) -> None:
    [first] = ask(daemon, "once")
    assert first.result(60) is not None

    [second] = ask(daemon, "once")

    assert second.result(60) is None
    assert daemon.count(State.SKIPPED) == 1


def test_a_delivery_without_a_free_slot_gives_no_answer_and_is_attempted_later(
    daemon: Running, receiver: Receiver
) -> None:
    both = ask(daemon, "narrow", copies=2)  # both are reserved while the only slot is free

    until(lambda: sum(asked.done() for asked in both) == 1)
    [refused] = [asked for asked in both if asked.done()]
    [made] = [asked for asked in both if asked is not refused]
    assert refused.result() is None
    assert daemon.load("hook").running == 1
    receiver.release.set()
    assert made.result(60) is not None
    until(lambda: daemon.count(State.SUCCEEDED) == 2)
    assert len(receiver.requests) == 2


class ForwardsOnly:
    """A node that delivers no commands."""

    action_types = ("forward",)
    fleet_rules = ""

    def due(self) -> None:
        """Not needed here."""

    def breaker(self, target: str, noted: str | None) -> None:
        """Not needed here."""


def test_a_node_without_the_action_type_does_not_let_the_sender_wait(daemon: Running) -> None:
    node = Dispatcher(daemon.current, daemon.store, lambda _: daemon.current.ruleset, {}, now_ms, node=ForwardsOnly())
    actions = {rule: action.action for (rule, _), action in daemon.current.ruleset.actions.items()}
    node.start()
    try:
        shares = {one.target.key: Share(1, None, tests=True) for one in actions.values()}
        node.fleet_side.take_shares(shares)

        def expect(rule: str, action: str) -> Asked:
            return node.first_answers.expect(f"of {rule}", rule, action, actions[rule].target.key, LONG)

        until(lambda: not expect("once", "forward").done())
        assert expect("script", "command").result(0) is None
    finally:
        node.stop(0)


def test_a_node_without_a_delivery_loop_does_not_let_the_sender_wait(daemon: Running) -> None:
    """As on a node without the role `delivery`."""
    node = Dispatcher(daemon.current, daemon.store, lambda _: daemon.current.ruleset, {}, now_ms)

    asked = node.first_answers.expect("d", "once", "forward", "t", LONG)

    assert asked.result(0) is None
