"""Real daemons make one event of each polled item, also after kills, with several nodes and with several processes."""

import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.store.sqlite.store import SqliteStore
from tests.acceptance.fleet import Fleet
from tests.conftest import Daemon
from tests.polled_service import Asked, Reply, Service
from tests.postgres import Server

Start = Callable[..., Daemon]
Run = Callable[..., subprocess.CompletedProcess[str]]
Wait = Callable[[Callable[[], Any]], Any]
LEASE = 12.0  #: seconds; long enough for renewals on a busy machine, since the test asserts which node polls
MORE = 700  #: new items in each answer; more than fit into one transaction

RULES = """
sources:
  s: {poll: {url: "URL/jobs", every: 1s, items: "$[*]", id: item.id, start: all}}
rules:
  - name: all
    actions: [append: all.jsonl]
"""


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    service = Service()
    yield service
    service.stop()


def written(folder: Path) -> list[int]:
    """The ids that were appended to the file."""
    path = folder / "all.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [orjson.loads(line)["payload"]["id"] for line in lines]


def test_a_daemon_that_is_killed_repeatedly_stores_each_item_once(
    service: Service, start: Start, tmp_path: Path, eventually: Wait
) -> None:
    dice = random.Random(7)
    listed, asked = 0, threading.Event()

    def answer(_: Asked) -> Reply:
        nonlocal listed
        listed = min(listed + MORE, 6 * MORE)
        asked.set()
        return Reply([{"id": number} for number in range(listed)])

    service.answer = answer
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.replace("URL", service.url).replace("    actions", "    match: {$.id: -1}\n    actions"))
    for _ in range(5):
        asked.clear()
        daemon = start(rules)
        assert asked.wait(60)
        threading.Event().wait(dice.uniform(0, 0.4))  # during the answer, during its transactions, or afterwards
        daemon.kill()
    daemon = start(rules)
    eventually(lambda: listed == 6 * MORE)
    before = len(service.asked)
    eventually(lambda: len(service.asked) >= before + 2)  # so the poll before these requests has ended
    daemon.stop()

    found: list[int] = []
    with closing(SqliteStore(daemon.store)) as store:
        last: str | None = None
        while page := store.events(limit=500, before=last):
            found += [orjson.loads(event.body)["id"] for event in page]
            last = page[-1].id
    assert sorted(found) == list(range(6 * MORE))


def test_the_main_process_polls_when_there_are_several(
    service: Service, start: Start, tmp_path: Path, eventually: Wait, run: Run
) -> None:
    service.body = [{"id": 1}, {"id": 2}]
    (tmp_path / "rules.yaml").write_text(RULES.replace("URL", service.url))

    daemon = start(tmp_path / "rules.yaml", flags=("--processes", "2"))
    eventually(lambda: len(written(tmp_path)) == 2)
    assert daemon.post("/-/poll/s", b"{}").status == 404
    status = orjson.loads(run("status", "--json", "--store", f"sqlite:{daemon.store}").stdout)
    metrics = daemon.admin("/metrics").body.decode()

    [polled] = status["polls"]
    assert (polled["source"], polled["events"], polled["error"]) == ("s", 2, None)
    assert 'webhook_router_polls_total{outcome="changed",source="s"} 1.0' in metrics
    assert 'webhook_router_source_failing{source="s"} 0.0' in metrics


def test_one_of_two_nodes_polls_and_the_other_takes_over(
    service: Service, tmp_path: Path, postgres_server: Server, eventually: Wait
) -> None:
    taken_over = threading.Event()

    def answer(_: Asked) -> Reply:
        return Reply([{"id": number} for number in range(8 if taken_over.is_set() else min(len(service.asked), 6))])

    def stored() -> list[int]:
        rows = fleet.ask("SELECT convert_from(body, 'UTF8') FROM webhook_router.event")
        return sorted(orjson.loads(str(body))["id"] for (body,) in rows)

    service.answer = answer
    fleet = Fleet(tmp_path, postgres_server, RULES.replace("URL", service.url), lease=LEASE)
    try:
        first = fleet.start()
        first.wait_for_line("event received")
        second = fleet.start()
        asked = len(service.asked)
        eventually(lambda: len(service.asked) >= asked + 3)
        assert not [line for line in second.lines if line.get("message") == "event received"]

        first.kill()
        taken_over.set()
        second.wait_for_line("event received")
        eventually(lambda: len(stored()) >= 8)

        assert stored() == list(range(8))
    finally:
        fleet.close()
