"""`serve --processes N`: what is killed, stopped or reloaded while events come in, and what senders and store say then."""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, Daemon, request, until

SENDERS = 6
RULES = """
sources: {open: {verify: none, dedupe: headers.X-Key}}
rules: [{name: all, actions: [append: all.jsonl]}]
"""


def pids(daemon: Daemon) -> dict[int, int]:
    """The running intake processes by number, as the log tells them."""
    return {line["process"]: line["pid"] for line in list(daemon.lines) if line["message"] == "intake process serves"}


def lives(pid: int) -> bool:
    """Whether a process has not ended; a zombie has."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def stored(store: Path) -> dict[str, str]:
    """Event ids by dedupe key."""
    with closing(sqlite3.connect(store)) as connection:
        return {json.loads(key): id_ for key, id_ in connection.execute("SELECT dedupe_key, id FROM event")}


@dataclass
class Load:
    """Senders that repeat an event until it is answered, and what they were told."""

    port: int
    told: dict[str, str] = field(default_factory=dict)  #: event ids by key, of 202 and 200 answers
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0  #: seconds between two answers of one sender
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        place, answered = 0, time.monotonic()
        connection = self.connection()
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
                connection = self.connection()
                self.over.wait(0.01)
                continue
            if answer.status in (200, 202):
                self.told[key] = content["id"]
                self.longest = max(self.longest, time.monotonic() - answered)
                answered = time.monotonic()
                place += 1
            elif answer.status != 503:
                self.wrong.append(f"{key}: {answer.status} {content}")
        connection.close()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def more(self, count: int = 50) -> None:
        """Wait until so many more events are answered."""
        goal = len(self.told) + count
        until(lambda: len(self.told) >= goal)


@contextlib.contextmanager
def load(daemon: Daemon) -> Iterator[Load]:
    """Senders at work."""
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
            thread.join(30)


def check_ledger(found: Load, daemon: Daemon) -> None:
    """What was answered is stored, under the id that was answered."""
    kept = stored(daemon.store)
    assert found.wrong == []
    assert {key: kept.get(key) for key in found.told} == found.told


@pytest.fixture
def daemon(start: Callable[..., Daemon]) -> Daemon:
    """A daemon with two intake processes."""
    return start(RULES, flags=("--processes", "2"))


def test_a_killed_process_is_replaced_at_once_and_the_others_serve_on(daemon: Daemon) -> None:
    before = pids(daemon)
    with load(daemon) as found:
        number, killed_at = len(daemon.lines), time.monotonic()
        os.kill(before[1], signal.SIGKILL)
        line = daemon.wait_for_line("intake process serves", number, process=1)
        took = time.monotonic() - killed_at
        assert daemon.admin("/-/ready").status == 200
        found.more(200)
    assert daemon.stop() == 0

    assert line["pid"] != before[1]
    assert pids(daemon)[2] == before[2]
    assert took < 5  # a second where the machine is free
    check_ledger(found, daemon)
    assert sorted(stored(daemon.store)) == sorted(found.told)  # nothing is stored that was not answered in the end
    assert not any(map(lives, (*before.values(), *pids(daemon).values())))


def test_the_main_process_is_killed_and_no_process_outlives_it(daemon: Daemon) -> None:
    with load(daemon) as found:
        daemon.kill()  # waits for the end of standard error, which all processes hold
        until(lambda: not any(map(lives, pids(daemon).values())))

    check_ledger(found, daemon)


def test_all_are_killed_at_once(daemon: Daemon) -> None:
    with load(daemon) as found:
        for pid in (*pids(daemon).values(), daemon.process.pid):
            os.kill(pid, signal.SIGKILL)
        daemon.kill()

    check_ledger(found, daemon)


def test_a_process_that_hangs_is_replaced_while_the_others_serve(daemon: Daemon) -> None:
    before = pids(daemon)
    with load(daemon) as found:
        number = len(daemon.lines)
        os.kill(before[2], signal.SIGSTOP)
        daemon.wait_for_line("intake process does not answer; it is replaced", number, process=2)
        found.more()
        daemon.wait_for_line("intake process serves", number, process=2)
        found.more()
    assert daemon.stop() == 0

    assert pids(daemon)[1] == before[1]
    assert not lives(before[2])
    check_ledger(found, daemon)


def test_a_stopped_process_whose_main_process_was_killed_ends_when_it_goes_on(daemon: Daemon) -> None:
    stopped = pids(daemon)[1]
    os.kill(stopped, signal.SIGSTOP)
    daemon.process.kill()
    daemon.process.wait()
    other = pids(daemon)[2]
    until(lambda: not lives(other))
    assert lives(stopped)

    os.kill(stopped, signal.SIGCONT)

    until(lambda: not lives(stopped))
    daemon.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_of_its_processes_stops_the_daemon_cleanly(
    start: Callable[..., Daemon], number: signal.Signals
) -> None:
    daemon = start(RULES, flags=("--processes", "2"), program=("setsid", PROGRAM))
    with load(daemon) as found:
        os.killpg(daemon.process.pid, number)
        assert daemon.stop(number) == 0

    check_ledger(found, daemon)
    assert sorted(stored(daemon.store)) == sorted(found.told)
    assert {line["message"] for line in daemon.lines if line["level"] == "error"} <= {
        "source is not verified: whoever reaches the listen address may send; set verify or allow_ips"
    }


def test_after_a_reload_is_answered_every_process_judges_by_the_new_rules(daemon: Daemon) -> None:
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
    assert daemon.stop() == 0


def token(daemon: Daemon) -> dict[str, str]:
    """The admin token."""
    return {"Authorization": f"Bearer {daemon.store.with_name(daemon.store.name + '.token').read_text().strip()}"}


def test_counts_are_those_of_all_processes_and_survive_one(daemon: Daemon) -> None:
    with load(daemon) as found:
        os.kill(pids(daemon)[1], signal.SIGKILL)
        found.more(100)
    text = daemon.admin("/metrics").body.decode()
    counted = {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    }

    kept = stored(daemon.store)

    assert counted['webhook_router_events_total{source="open"}'] == len(kept)
    assert counted['webhook_router_matches_total{rule="all"}'] == len(kept)
    check_ledger(found, daemon)


def test_lines_of_the_log_are_whole_and_name_their_process(daemon: Daemon) -> None:
    with load(daemon) as found:
        found.more(300)
    assert daemon.stop() == 0

    received = [line for line in daemon.lines if line["message"] == "event received"]
    assert not [line for line in daemon.lines if line["message"] == "not JSON"]
    assert {line["process"] for line in received} == {1, 2}
    assert {line["event_id"] for line in received} == set(found.told.values())
