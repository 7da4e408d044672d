"""A node is lost while others continue: pauses, breakers and orders stay valid."""

import json
import random
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from router.domain.deliveries import State
from router.domain.filters import Filter
from router.store.postgres.operator_store import PostgresOperatorStore
from router.store.postgres.url import parse_url
from tests.acceptance.fleet import Fleet, samples
from tests.conftest import Daemon, Receiver

Wait = Callable[[Callable[[], Any]], Any]
Start = Callable[..., Fleet]

HELD = """
sources: {open: {verify: none}}
targets:
  paused: {url: URL/paused}
  down: {url: URL/down, breaker: {failures: 2, pause: 1s, max_pause: 1s}}
defaults: {retry: {initial: 50ms, max: 50ms}}
rules:
  - name: sent
    source: open
    actions: [{forward: {target: paused}, order_by: $.lane}, {forward: {target: down}, name: tested}]
  - name: tell
    source: router
    match: {$.kind: node.lost}
    allow_unverified: true
    actions: [append: lost.jsonl]
"""


def test_other_nodes_keep_the_pause_and_breaker_of_a_lost_node_and_report_it_once(
    fleet: Start, receiver: Receiver, run: Callable[..., Any], eventually: Wait, tmp_path: Path
) -> None:
    one = fleet(HELD)
    receiver.status = 500
    first, *others = one.start(), one.start(), one.start()
    assert run("targets", "pause", "paused", "--store", one.url).returncode == 0
    first.wait_for_line("target paused; its deliveries are held", target="paused")
    for number in range(3):
        assert first.post("/hooks/open", json.dumps({"lane": 1, "n": number}).encode()).status == 202
    eventually(lambda: one.ask("SELECT 1 FROM webhook_router.target WHERE name = 'down' AND breaker IS NOT NULL"))

    first.kill()
    eventually(lambda: "node-1" in _lost(others))
    eventually(lambda: all(samples(node)["webhook_router_nodes"] == 2 for node in others))
    assert sum(samples(node)["webhook_router_nodes_taken_over_total"] for node in others) >= 1
    eventually(lambda: all(_breaker_is_open(node) for node in others))
    assert receiver.ids("/paused") == []
    receiver.status = 200
    eventually(lambda: one.count(f"SELECT count(*) {_DONE} 'down'") == 3)
    assert receiver.ids("/paused") == []
    assert run("targets", "resume", "paused", "--store", one.url).returncode == 0
    eventually(lambda: one.unsettled() == 0)

    in_order = [id_ for (id_,) in one.ask("SELECT id FROM webhook_router.event WHERE source = 'open' ORDER BY seq")]
    assert receiver.ids("/paused") == in_order
    told = tmp_path / "lost.jsonl"
    eventually(lambda: told.exists() and '"node-1"' in told.read_text())
    names = [json.loads(line)["payload"]["node"]["name"] for line in told.read_text().splitlines()]
    assert names.count("node-1") == 1
    assert _lost(others).count("node-1") == 1


_DONE = "FROM webhook_router.delivery WHERE state = 'succeeded' AND target ="


def _lost(nodes: list[Daemon]) -> list[str]:
    said = "node lost; others have what it had running"
    return [line["node"] for node in nodes for line in list(node.lines) if line["message"] == said]


def _breaker_is_open(node: Daemon) -> bool:
    # Between two probes of the target it is half open.
    found = samples(node)
    return found['webhook_router_breaker_state{state="closed",target="down"}'] == 0


ORDERED = """
sources: {open: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}}
targets: {sent: {url: URL/sent, breaker: none}}  # otherwise the failures may open it, and it tests one lane alone
defaults: {retry: {initial: 50ms, max: 50ms, attempts: 1}}
rules:
  - name: sent
    actions: [{forward: {target: sent}, order_by: $.lane}]
"""
LANES, EACH = 3, 4


def test_replays_keep_the_order_of_each_key_across_nodes_and_a_takeover(
    fleet: Start, receiver: Receiver, eventually: Wait
) -> None:
    one = fleet(ORDERED)
    nodes = [one.start(), one.start(), one.start()]
    receiver.status = 500
    for number in range(LANES * EACH):
        body = json.dumps({"lane": number % LANES}).encode()
        assert nodes[number % 3].post("/hooks/open", body, {"X-Key": str(number)}).status == 202
    eventually(lambda: one.count("SELECT count(*) FROM webhook_router.delivery WHERE state = 'dead'") == LANES * EACH)
    receiver.status = 200
    receiver.answering.clear()
    before = len(receiver.requests)

    _replay_at_once(one, 2)
    eventually(lambda: len(receiver.requests) == before + LANES)  # the first delivery of each lane
    [process] = one.ask(_SOME_RUNNER)[0]
    runner = next(node for node in nodes if node.process.pid == process)
    hung = one.count(f"SELECT count(*) FROM webhook_router.delivery WHERE state = 'running' AND node = ({_ITS_NODE})")
    runner.kill()
    eventually(lambda: len(receiver.requests) >= before + LANES + hung)  # other nodes repeat them
    receiver.answering.set()
    eventually(lambda: one.unsettled() == 0)

    assert one.ask("SELECT DISTINCT state FROM webhook_router.delivery") == [("succeeded",)]
    arrived = receiver.ids()[before:]
    for lane in range(LANES):
        wanted = [id_ for (id_,) in one.ask(_LANE.format(lane=lane))]
        of_lane = [id_ for id_ in arrived if id_ in wanted]
        assert list(dict.fromkeys(of_lane)) == wanted
        assert of_lane == sorted(of_lane, key=wanted.index)  # the repeated attempt came before the next delivery
    assert len(arrived) >= LANES * EACH + hung


_SOME_RUNNER = """
SELECT n.process FROM webhook_router.delivery d JOIN webhook_router.node n ON n.id = d.node
WHERE d.state = 'running' ORDER BY d.seq LIMIT 1
"""
_ITS_NODE = "SELECT node FROM webhook_router.delivery WHERE state = 'running' ORDER BY seq LIMIT 1"
_LANE = """
SELECT e.id FROM webhook_router.delivery d JOIN webhook_router.event e ON e.seq = d.event
WHERE d.order_key = '[{lane}]' ORDER BY coalesce(d.place, d.seq)
"""


def _replay_at_once(fleet: Fleet, operators: int) -> None:
    """Several operators replay all dead deliveries. Each replays a part, one by one and in any order."""
    with closing(PostgresOperatorStore(parse_url(fleet.url))) as store:
        ids = [delivery.id for delivery in store.deliveries(Filter((State.DEAD,)))]
    random.Random(1).shuffle(ids)
    now = fleet.count("SELECT (extract(epoch FROM now()) * 1000)::bigint")

    def replay(part: list[str]) -> None:
        with closing(PostgresOperatorStore(parse_url(fleet.url))) as store:
            for id_ in part:
                assert store.replay([id_], now).result(60) == [id_]

    threads = [threading.Thread(target=replay, args=(ids[number::operators],)) for number in range(operators)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
