"""A target's limits hold for all nodes together, also after a reload that changes them."""

import hashlib
import os
import signal
from collections.abc import Callable
from typing import Any

from tests.acceptance.fleet import Fleet, samples
from tests.conftest import Daemon, Receiver
from tests.free_port import free_port

Wait = Callable[[Callable[[], Any]], Any]
RULES = """
sources: {open: {verify: none}, broken: {verify: none}}
targets:
  slow: {url: URL, concurrency: 6, rate: 100/s}
  down: {url: "http://127.0.0.1:PORT", breaker: {failures: 2, pause: 1h, max_pause: 1h}}
defaults: {retry: {initial: 50ms, max: 50ms}}
rules:
  - {name: sent, source: open, actions: [forward: {target: slow}]}
  - {name: lost, source: broken, actions: [forward: {target: down}]}
"""


def test_limits_changed_by_a_reload_hold_in_the_whole_fleet(
    fleet: Callable[..., Fleet], receiver: Receiver, eventually: Wait
) -> None:
    one = fleet(RULES.replace("PORT", str(free_port())))
    nodes = [one.start(), one.start()]
    assert nodes[0].post("/hooks/broken", b"{}").status == 202
    nodes[0].wait_for_line("target fails; its deliveries wait")
    eventually(lambda: _breaker(nodes[1]) == "open")
    tried = one.count(_TRIES)
    receiver.answering.clear()
    _send(nodes, 12)
    # The receiver may have more: on a busy machine a node's lease may expire before its renewal.
    eventually(lambda: receiver.at_once >= 6 and one.count(_RUNNING) == 6)

    text = one.rules.read_text()
    one.rules.write_text(text.replace("concurrency: 6, rate: 100/s", "concurrency: 2, rate: 10/s"))
    new = hashlib.sha256(one.rules.read_bytes()).hexdigest()
    for node in nodes:
        os.kill(node.process.pid, signal.SIGHUP)
    eventually(lambda: one.ask("SELECT DISTINCT rules FROM webhook_router.node") == [(new,)])
    receiver.answering.set()
    eventually(lambda: one.count("SELECT sum(slots)::int FROM webhook_router.share WHERE target = 'slow'") == 2)
    eventually(lambda: one.count(_UNSETTLED) == 0)
    receiver.most_at_once, before = 0, len(receiver.requests)
    _send(nodes, 25)
    eventually(lambda: one.count(_UNSETTLED) == 0)

    assert receiver.most_at_once <= 2
    began = [one.at for one in receiver.requests[before:]]
    # Each node may start one at once. On a busy machine the first request may arrive late.
    assert max(began) - min(began) >= (25 - 2) / 10 / 2
    assert [_breaker(node) for node in nodes] == ["open", "open"]
    assert one.count(_TRIES) == tried


_UNSETTLED = """
SELECT count(*) FROM webhook_router.delivery WHERE state IN ('pending', 'running') AND target = 'slow'
"""
_RUNNING = "SELECT count(*) FROM webhook_router.delivery WHERE state = 'running' AND target = 'slow'"
_TRIES = "SELECT sum(tries)::int FROM webhook_router.delivery WHERE target = 'down'"


def _send(nodes: list[Daemon], count: int) -> None:
    for number in range(count):
        assert nodes[number % 2].post("/hooks/open", b"{}").status == 202


def _breaker(node: Daemon) -> str:
    found = samples(node)
    states = ("open", "closed", "half-open")
    return next(one for one in states if found[f'webhook_router_breaker_state{{state="{one}",target="down"}}'])
