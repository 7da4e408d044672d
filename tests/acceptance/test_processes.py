"""`serve --processes N` under load: answers and store stay consistent when processes are killed, frozen or reloaded."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from router.http.limits import LARGE_BYTES
from tests.conftest import PATIENCE_SECONDS, Daemon, request, until

SENDERS = 6
IN_A_GROUP = "import os, sys; os.setsid(); from router.cli.main import main; sys.exit(main())"
RULES = """
sources: {open: {verify: none, dedupe: headers.X-Key}}
rules: [{name: all, actions: [append: all.jsonl]}]
"""
REPLACED = (
    "intake process ended; it is replaced",
    "intake process does not answer; it is replaced",
    "intake process does not take new rules; it is replaced",
)


def pids(daemon: Daemon) -> dict[int, int]:
    """The ids of the intake processes by number, from the log."""
    return {line["process"]: line["pid"] for line in list(daemon.lines) if line["message"] == "intake process serves"}


def lives(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def stored(store: Path) -> dict[str, str]:
    """The event ids in the store by dedupe key."""
    with closing(sqlite3.connect(store)) as connection:
        return {json.loads(key): id_ for key, id_ in connection.execute("SELECT dedupe_key, id FROM event")}


def token(daemon: Daemon) -> dict[str, str]:
    """The admin token."""
    return {"Authorization": f"Bearer {daemon.store.with_name(daemon.store.name + '.token').read_text().strip()}"}


@dataclass
class Load:
    """Senders that repeat each event until it is answered, and their answers."""

    port: int
    told: dict[str, str] = field(default_factory=dict)  #: by key: the event ids in 202 and 200 answers
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        """Send as one of the senders."""
        place, connection = 0, self._connection()
        while not self.over.is_set():
            key = f"{number}/{place}"
            try:
                connection.request(
                    "POST", "/hooks/open", b'{"a": 1}', {"X-Key": key, "Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                content = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                connection = self._connection()
                self.over.wait(0.01)
                continue
            if answer.status in (200, 202):
                self.told[key] = content["id"]
                place += 1
            elif answer.status != 503:
                self.wrong.append(f"{key}: {answer.status} {content}")
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def more(self, count: int = 50) -> None:
        """Wait until `count` further events are answered."""
        goal = len(self.told) + count
        until(lambda: len(self.told) >= goal)


@contextlib.contextmanager
def load(daemon: Daemon) -> Iterator[Load]:
    """Run senders."""
    found = Load(daemon.port)
    threads = [threading.Thread(target=found.run, args=(number,)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        found.more()
        yield found
    finally:
        found.over.set()
        for thread in threads:
            thread.join(60)


def check_ledger(found: Load, daemon: Daemon) -> None:
    """Check that each answered event is stored under its answered id."""
    kept = stored(daemon.store)
    assert found.wrong == []
    assert {key: kept.get(key) for key in found.told} == found.told


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    """A daemon with two intake processes."""
    return start(RULES, flags=("--processes", "2"))


def test_processes_that_are_killed_or_hang_are_replaced_while_the_others_serve(daemon: Daemon) -> None:
    before = pids(daemon)
    with load(daemon) as found:
        number = len(daemon.lines)
        os.kill(before[1], signal.SIGKILL)
        daemon.wait_for_line("intake process serves", number, process=1)
        assert daemon.admin("/-/ready").status == 200
        found.more()
        number = len(daemon.lines)
        os.kill(before[2], signal.SIGSTOP)
        daemon.wait_for_line("intake process does not answer; it is replaced", number, process=2)
        found.more()
        daemon.wait_for_line("intake process serves", number, process=2)
        found.more()
    after = pids(daemon)
    metrics = daemon.admin("/metrics").body.decode().splitlines()
    counted = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in metrics if line[0] != "#")}
    status = json.loads(request(daemon.admin_port, "GET", "/api/status", headers=token(daemon)).body)
    assert daemon.stop() == 0

    assert not any(map(lives, {*before.values(), *after.values()}))
    kept = stored(daemon.store)
    check_ledger(found, daemon)
    # The counts outlive their processes, and equal the number of stored events.
    assert counted['webhook_router_events_total{source="open"}'] == len(kept)
    assert counted['webhook_router_matches_total{rule="all"}'] == len(kept)
    assert counted["webhook_router_intake_processes"] == counted["webhook_router_intake_processes_wanted"] == 2
    assert counted["webhook_router_intake_processes_replaced_total"] == 2
    listed = [{"number": number, "pid": pid, "serves": True} for number, pid in sorted(after.items())]
    assert status["process"]["processes"] == listed
    # Each line of the log is whole, and names its process.
    assert [line for line in daemon.lines if line["message"] == "not JSON"] == []
    received = [line for line in daemon.lines if line["message"] == "event received"]
    assert {line["process"] for line in received} == {1, 2}


def test_large_requests_wait_for_their_process_and_others_do_not_wait(daemon: Daemon) -> None:
    large = json.dumps({"a": "x" * LARGE_BYTES}).encode()
    judge, number = pids(daemon)[0], len(daemon.lines)

    def send(body: bytes, headers: dict[str, str]) -> int:
        while (answer := daemon.post("/hooks/open", body, headers)).status == 503:
            pass  # the process was not replaced within 10 s
        return answer.status

    os.kill(judge, signal.SIGSTOP)
    until(lambda: stands_still(judge))
    with ThreadPoolExecutor(2) as senders:
        plain = senders.submit(send, large, {})
        compressed = senders.submit(send, gzip.compress(large), {"Content-Encoding": "gzip"})
        for _ in range(4):
            assert daemon.post("/hooks/open", b"{}").status == 202

        with contextlib.suppress(ProcessLookupError):  # it was replaced after its long silence
            os.kill(judge, signal.SIGKILL)

        assert plain.result() == compressed.result() == 202
    daemon.wait_for_line("intake process serves", number, process=0)
    assert daemon.stop() == 0
    received = [line["process"] for line in daemon.lines if line["message"] == "event received"]
    assert received.count(0) == 2
    assert len(received) == 6


def stands_still(pid: int) -> bool:
    """Whether all threads of the process are stopped."""
    stats = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def test_no_process_outlives_the_main_process(daemon: Daemon) -> None:
    processes = pids(daemon)
    with load(daemon) as found:
        os.kill(processes[1], signal.SIGSTOP)
        daemon.process.kill()  # at once, since a process that is stopped for long is replaced
        daemon.process.wait(PATIENCE_SECONDS)
        until(lambda: not lives(processes[2]))
    assert lives(processes[1])

    os.kill(processes[1], signal.SIGCONT)

    until(lambda: not lives(processes[1]))
    daemon.kill()  # waits until standard error is closed, which all processes have open
    check_ledger(found, daemon)


def test_killing_all_processes_at_once_loses_no_accepted_event(daemon: Daemon, start: Callable[..., Daemon]) -> None:
    with load(daemon) as found:
        for pid in (*pids(daemon).values(), daemon.process.pid):
            os.kill(pid, signal.SIGKILL)
        daemon.kill()

    check_ledger(found, daemon)
    assert start(daemon.rules).stop() == 0  # no process has the store open


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_stops_the_daemon_cleanly(
    start: Callable[..., Daemon], number: signal.Signals
) -> None:
    daemon = start(RULES, flags=("--processes", "2"), program=(sys.executable, "-c", IN_A_GROUP))
    with load(daemon) as found:
        os.killpg(daemon.process.pid, number)
        assert daemon.stop(number) == 0

    check_ledger(found, daemon)
    assert sorted(stored(daemon.store)) == sorted(found.told)  # each stored event was answered before the end
    assert [line for line in daemon.lines if line["message"] in REPLACED] == []


def test_every_process_uses_the_new_rules_once_a_reload_is_answered(daemon: Daemon) -> None:
    for version in ("v1", "v2", "v3"):
        respond = f"verify: none, respond: {{status: 201, body: {version}}}"
        daemon.rules.write_text(RULES.replace("name: all", f"name: {version}").replace("verify: none", respond))
        assert request(daemon.admin_port, "POST", "/-/reload", headers=token(daemon)).status == 200

        answers = {daemon.post("/hooks/open", b"{}").body for _ in range(30)}

        assert answers == {version.encode()}
    daemon.rules.write_text(RULES + "  - {name: broken}\n")

    refused = request(daemon.admin_port, "POST", "/-/reload", headers=token(daemon))

    assert refused.status == 422
    assert {daemon.post("/hooks/open", b"{}").body for _ in range(10)} == {b"v3"}
    number = len(daemon.lines)
    os.kill(pids(daemon)[1], signal.SIGKILL)
    daemon.wait_for_line("intake process serves", number, process=1)
    assert {daemon.post("/hooks/open", b"{}").body for _ in range(10)} == {b"v3"}  # the running rules, not the file
    assert daemon.stop() == 0
    assert [line for line in daemon.lines if line["message"] in REPLACED[1:]] == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--processes", "0"), "0 is not in the range 1<=x<=64"),
        (("--processes", "65"), "65 is not in the range 1<=x<=64"),
        (("--processes", "2", "--server", "waitress"), "--processes needs --server own"),
    ],
)
def test_a_wrong_number_of_processes_is_a_usage_error(
    run: Callable[..., subprocess.CompletedProcess[str]], flags: tuple[str, ...], said: str
) -> None:
    done = run("serve", *flags)

    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
