"""Intake processes swap in new rules together. A process that fails to is replaced."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from router.daemon.launch import Launch
from router.daemon.processes import forkserver, pool, starter
from router.daemon.processes.pool import IntakeProcesses
from router.daemon.processes.start import Logging
from router.daemon.rules_loader import rules_loader
from router.daemon.settings import Settings
from router.domain.errors import RulesError, StartError
from router.domain.listen_address import ListenAddress
from router.http.limits import LARGE_BYTES
from router.intake.first_answer import NoAnswers
from router.observe.metrics import Metrics
from router.rules.ruleset import Ruleset
from router.store.sqlite.store import SqliteStore
from tests.conftest import until

RULES = "sources: {open: {verify: none, respond: {status: 201, body: BODY}}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n"
SECRET = "sources: {closed: {verify: {scheme: github, secret: {env: THERE}}}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n"


class Log:
    """Stands for the log and keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def info(self, line: bytes) -> None:
        self.lines.append(line)

    warning = info


def settings(folder: Path) -> Settings:
    """Settings with two processes."""
    return Settings(folder / "rules.yaml", ListenAddress("127.0.0.1", 0), None, folder / "store.db", processes=2)


Load = Callable[[str], Ruleset]


@pytest.fixture
def compiled(tmp_path: Path) -> Load:
    """Return a function that compiles rules as the main process does, which has the secret."""
    loader = rules_loader(settings(tmp_path), {"THERE": "a secret of sixteen bytes"})
    return lambda text: loader.load(text, "rules.yaml", tmp_path).require()


@pytest.fixture
def begin(tmp_path: Path, sqlite_store: SqliteStore) -> Iterator[Callable[[Ruleset], IntakeProcesses]]:
    """Return a function that starts intake processes, which lack the secret."""
    begun: list[IntakeProcesses] = []

    def start(ruleset: Ruleset) -> IntakeProcesses:
        launch = Launch(settings(tmp_path), {}, Logging(), Log())
        begun.append(IntakeProcesses(launch, sqlite_store, Metrics(), ruleset, NoAnswers()))
        begun[-1].start()
        return begun[-1]

    yield start
    for one in begun:
        one.stop(1)


def answers(processes: IntakeProcesses) -> set[bytes]:
    """The different answers that senders of small and large bodies get."""
    found = set()
    for number in range(14):
        connection = http.client.HTTPConnection("127.0.0.1", processes.port, timeout=60)
        content = b"{}" if number < 12 else b"{}" + b" " * LARGE_BYTES
        status = 503  # a large request gets this after 10 s when its process is being replaced
        while status == 503:
            connection.request("POST", "/hooks/open", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            status, said = answer.status, answer.read()
        found.add(said)
        connection.close()
    return found


def test_all_processes_swap_in_new_rules_or_none_does(
    begin: Callable[[Ruleset], IntakeProcesses], compiled: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = begin(compiled(RULES))
    changed = compiled(RULES.replace("BODY", "second"))
    processes.prepare(changed)
    assert answers(processes) == {b"BODY"}  # prepared rules don't run yet
    processes.swap(changed)
    assert answers(processes) == {b"second"}

    with pytest.raises(RulesError, match="THERE"):
        processes.prepare(compiled(SECRET))
    assert answers(processes) == {b"second"}

    # A process that does not answer the swap is ended before the swap returns.
    third = compiled(RULES.replace("BODY", "third"))
    processes.prepare(third)
    silent = processes.processes()[0]["pid"]
    monkeypatch.setattr(pool, "SWAP_SECONDS", 4.0)  # enough for the other process on a busy machine
    os.kill(silent, signal.SIGSTOP)
    processes.swap(third)
    assert silent not in [one["pid"] for one in processes.processes() if one["serves"]]
    assert answers(processes) == {b"third"}
    until(lambda: processes.serving() == (2, 2))
    assert processes.replaced == 1
    assert answers(processes) == {b"third"}


def _was_replaced(processes: IntakeProcesses, before: int) -> bool:
    return processes.replaced > before


def test_a_process_that_starts_during_a_reload_serves_by_the_new_rules(
    begin: Callable[[Ruleset], IntakeProcesses], compiled: Load
) -> None:
    processes = begin(compiled(RULES))
    changed = compiled(RULES.replace("BODY", "second"))
    for number, process in enumerate(processes.processes()):
        os.kill(process["pid"], signal.SIGKILL)
        until(partial(_was_replaced, processes, number))
    processes.prepare(changed)
    processes.swap(changed)

    until(lambda: processes.serving() == (2, 2))

    assert answers(processes) == {b"second"}


def test_a_forkserver_that_is_frozen_or_gone_is_replaced(
    begin: Callable[[Ruleset], IntakeProcesses], compiled: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "KILLED_SECONDS", 0.5)
    processes = begin(compiled(RULES))
    for replaced, number in enumerate((signal.SIGSTOP, signal.SIGKILL)):
        first, second, third = (process["pid"] for process in processes.processes())
        forkserver = parent(third)
        os.kill(forkserver, number)
        os.kill(third, signal.SIGKILL)

        until(partial(_was_replaced, processes, replaced))
        until(lambda: processes.serving() == (2, 2))

        assert [process["pid"] for process in processes.processes()][:2] == [first, second]
        assert answers(processes) == {b"BODY"}
        assert parent(processes.processes()[2]["pid"]) not in (forkserver, 1)


def test_a_fork_that_takes_too_long_ends_its_forkserver(
    begin: Callable[[Ruleset], IntakeProcesses], compiled: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = begin(compiled(RULES))
    monkeypatch.setattr(forkserver, "START_SECONDS", 0.2)
    pid = parent(processes.processes()[0]["pid"])
    os.kill(pid, signal.SIGSTOP)
    process = forkserver.forkserver().Process(target=os.getpid)

    with pytest.raises((EOFError, OSError)):
        forkserver.start_process(process, pid)

    until(lambda: not Path(f"/proc/{pid}").exists() or state(pid) == "Z")
    forkserver.end_forkserver(os.getppid())  # the given process is not a forkserver of this one: nothing is killed


def state(pid: int) -> str:
    """The state letter of a process in /proc. Z means that it has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def parent(pid: int) -> int:
    """The id of the process that started `pid`."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_start_with_rules_that_a_process_cannot_load_says_why(
    begin: Callable[[Ruleset], IntakeProcesses], compiled: Load
) -> None:
    before = time.monotonic()

    with pytest.raises(StartError, match="the intake processes can't serve: .*THERE"):
        begin(compiled(SECRET))

    assert time.monotonic() - before < pool.FIRST_SECONDS
