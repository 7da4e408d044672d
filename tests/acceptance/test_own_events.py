"""Own events of a real daemon: dead deliveries, targets that are down, reloads. Failures of their own make none."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from router.domain.own_events import SOURCE
from router.store.open import open_operator_store, open_store
from tests.conftest import Daemon, Receiver
from tests.free_port import free_port

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]
JSON = {"Content-Type": "application/json"}
RULES = """
sources: {{shop: {{verify: none}}}}
targets:
  crm: {{url: "{crm}", breaker: {{failures: 2, pause: 10ms, max_pause: 50ms}}}}
  slack: {{url: "{slack}", breaker: {{failures: 2, pause: 10ms, max_pause: 50ms}}}}
defaults: {{retry: {{initial: 5ms, max: 5ms, attempts: {attempts}}}}}
rules:
  - name: orders
    source: shop
    actions: [forward: {{target: crm}}]
  - name: tell
    source: router
    actions: [forward: {{target: slack, body: payload}}]
unmatched: [append: unmatched.jsonl]
"""


def _own(folder: Path) -> list[dict[str, Any]]:
    """The payloads of the own events in the store, in order."""
    with closing(open_operator_store(folder / "webhook-router.db")) as store:
        return [json.loads(event.body) for event in reversed(store.events()) if event.source == SOURCE]


def test_the_first_dead_delivery_is_reported_at_once_and_later_ones_are_gathered(
    start: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    daemon = start(RULES.format(crm=f"http://127.0.0.1:{free_port()}", slack=receiver.url, attempts=1))
    body = b'{"card": "pl4nted-payload"}'
    for _ in range(4):
        daemon.post("/hooks/shop", body, JSON)

    eventually(lambda: len([one for one in daemon.lines if one.get("state") == "dead"]) == 4)
    eventually(lambda: len(receiver.requests) == 2)  # delivery.dead, then target.down after the second failure
    daemon.stop()

    told = {one["kind"]: one for one in _own(tmp_path)}
    assert sorted(told) == ["delivery.dead", "target.down"]
    dead = told["delivery.dead"]
    assert (dead["subject"], dead["count"], dead["delivery"]["target"]) == ("orders/forward", 1, "crm")
    assert dead["delivery"]["error"].endswith("Connection refused")
    assert dead["event"]["source"] == "shop"
    assert "pl4nted" not in json.dumps(told)
    assert not (tmp_path / "unmatched.jsonl").exists()
    with closing(open_store(tmp_path / "webhook-router.db")) as store:
        [gathered] = [one for one in store.gathered(2**60) if one.kind == "delivery.dead"]
        assert gathered.count == 3


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_failing_delivery_of_a_notice_causes_no_further_notice(
    start: Start, eventually: Wait, tmp_path: Path, attempts: int
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    daemon = start(RULES.format(crm=nowhere, slack=nowhere, attempts=attempts))

    daemon.post("/hooks/shop", b"{}", JSON)

    # Own events report that the order's delivery is dead or its target is down. Their deliveries become dead too.
    dead = eventually(
        lambda: (
            (found := [one for one in daemon.lines if one.get("state") == "dead" and one["rule"] == "tell"]) and found
        )
    )
    assert dead
    before = _own(tmp_path)
    daemon.post("/hooks/shop", b"{}", JSON)
    eventually(
        lambda: len([one for one in daemon.lines if one.get("state") == "dead" and one["rule"] == "orders"]) == 2
    )
    daemon.stop()

    assert {one["subject"] for one in before} <= {"orders/forward", "crm"}
    assert {one["subject"] for one in _own(tmp_path)} <= {"orders/forward", "crm"}
    assert len(_own(tmp_path)) <= 2


def test_a_target_that_goes_down_and_comes_back_makes_own_events(
    start: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    receiver.status = 503
    other = Receiver()
    other.start()
    try:
        daemon = start(RULES.format(crm=receiver.url, slack=other.url, attempts=100000))
        daemon.post("/hooks/shop", b"{}", JSON)
        eventually(lambda: [one["kind"] for one in _own(tmp_path)] == ["target.down"])
        receiver.status = 200
        eventually(lambda: [one["kind"] for one in _own(tmp_path)] == ["target.down", "target.up"])
        eventually(lambda: len(other.requests) == 2)
    finally:
        other.stop()
    down, up = _own(tmp_path)
    assert down["target"] == {"name": "crm", "error": "HTTP 503"}
    assert up["target"]["name"] == "crm"


def test_a_reload_makes_an_own_event(start: Start, receiver: Receiver, eventually: Wait, tmp_path: Path) -> None:
    text = RULES.format(crm=receiver.url, slack=receiver.url, attempts=1)
    start(text)
    rules = tmp_path / "rules.yaml"

    rules.write_text(text.replace("source: shop", "source: shop\n    match: {$.a: 1}"))
    eventually(lambda: [one["kind"] for one in _own(tmp_path)] == ["rules.reloaded"])
    rules.write_text(text.replace("source: shop", "source: shopp"))
    eventually(lambda: [one["kind"] for one in _own(tmp_path)] == ["rules.reloaded", "rules.refused"])

    reloaded, refused = _own(tmp_path)
    assert reloaded["rules"]["changed"] == ["orders"]
    assert reloaded["rules"]["hash"] == refused["rules"]["hash"]
    assert "undefined source" in refused["rules"]["problems"][0]


def test_a_backlog_and_a_full_disk_make_own_events(
    start: Start, receiver: Receiver, eventually: Wait, tmp_path: Path
) -> None:
    rules = RULES.format(crm=f"http://127.0.0.1:{free_port()}", slack=receiver.url, attempts=100000)
    daemon = start(rules.replace("initial: 5ms, max: 5ms", "initial: 1h, max: 1h"))
    daemon.post("/hooks/shop", b"{}", JSON)
    daemon.wait_for_line("attempt settled")
    daemon.stop()

    start(tmp_path / "rules.yaml", flags=("--backlog-old", "1ms", "--disk-low", "1024GiB"))

    found = eventually(lambda: (own := {one["kind"]: one for one in _own(tmp_path)}) and len(own) == 2 and own)
    assert found["backlog.old"]["target"]["name"] == "crm"
    assert found["backlog.old"]["target"]["waiting"] == 1
    assert found["disk.low"]["disk"]["free_bytes"] < 2**40
