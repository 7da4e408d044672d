"""`tail` beside a busy daemon that is killed and restarted, with output into a pipe and at a terminal."""

import json
import os
import pty
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from router.domain.deliveries import State
from router.domain.filters import Filter
from router.store.sqlite.connection import connect
from router.store.sqlite.operator_store import SqliteOperatorStore
from tests.conftest import PATIENCE_SECONDS, Daemon, Receiver, forked_program

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]
RULES = """
sources: {{in: {{verify: none}}}}
rules:
  - name: forward
    match: {{$.n: {{gte: 0}}}}
    actions:
      - forward: {{url: "{url}/x", concurrency: 8}}
        retry: {{initial: 100ms, max: 200ms}}
      - append: all.jsonl
"""


class Tail:
    """A `tail --json` with its output in a file."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.out = folder / "tail.out"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [forked_program(), "tail", "--json", *flags], cwd=folder, stdout=out, stderr=subprocess.PIPE
            )

    def lines(self) -> list[dict[str, Any]]:
        """Its lines so far."""
        text = self.out.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def interrupt(self) -> tuple[int, bytes]:
        """Press Ctrl-C. Return the exit code and standard error."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, err

    def __enter__(self) -> "Tail":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    return ("event", line["event"]) if line["kind"] == "event" else ("attempt", line["delivery"], line["number"])


def _stored(path: Path) -> set[tuple[Any, ...]]:
    with closing(connect(path, readonly=True)) as connection:
        events = {("event", id_) for (id_,) in connection.execute("SELECT id FROM event")}
        ended = connection.execute(
            "SELECT 'attempt', d.id, a.number FROM attempt a JOIN delivery d ON d.seq = a.delivery"
            " WHERE a.finished_at IS NOT NULL"
        )
        return events | {tuple(row) for row in ended}


def test_tail_shows_each_line_once_while_a_busy_daemon_is_killed(
    start: Start, eventually: Wait, receiver: Receiver, tmp_path: Path
) -> None:
    daemon = start(RULES.format(url=receiver.url))
    stopping = threading.Event()

    def load(number: int) -> None:
        while not stopping.is_set():
            try:
                daemon.post("/hooks/in", json.dumps({"n": number}).encode())
            except (OSError, HTTPException):
                stopping.wait(0.02)  # the daemon is down at the moment

    senders = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    with Tail(tmp_path, "--since", "1h") as tail:
        for sender in senders:
            sender.start()
        eventually(lambda: len(tail.lines()) > 150)
        receiver.status = 500  # attempts that are retried
        eventually(lambda: any(line.get("status") == 500 for line in tail.lines()))
        daemon.kill()
        receiver.status = 200
        daemon = start(RULES.format(url=receiver.url))
        before = len(tail.lines())
        eventually(lambda: len(tail.lines()) > before + 150)
        stopping.set()
        for sender in senders:
            sender.join()

        def complete() -> bool:
            with closing(SqliteOperatorStore(daemon.store)) as store:
                unsettled = store.count(Filter(states=(State.PENDING, State.RUNNING)))
            return not unsettled and len(tail.lines()) >= len(_stored(daemon.store))

        eventually(complete)
        code, err = tail.interrupt()

    assert (code, err) == (0, b"")
    lines = tail.lines()
    counts = Counter(_key(line) for line in lines)
    assert [key for key, count in counts.items() if count > 1] == []
    assert set(counts) == _stored(daemon.store)
    known: set[str] = set()
    for line in lines:
        if line["kind"] == "event":
            known.add(line["event"])
        else:
            assert line["event"] in known


def test_tail_ends_silently_when_its_reader_closes_the_pipe(start: Start, tmp_path: Path) -> None:
    daemon = start("sources: {in: {verify: none}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n")
    assert daemon.post("/hooks/in", b"{}").status == 202

    process = subprocess.Popen([forked_program(), "tail"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert b"POST /hooks/in 2 B -> all\n" in process.stdout.readline()
    process.stdout.close()  # like `| head -1`; afterwards nothing is written

    process.wait(PATIENCE_SECONDS)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("plain", [False, True])
def test_tail_is_coloured_at_a_terminal_and_ends_quietly(
    start: Start, tmp_path: Path, terminal: tuple[int, int], plain: bool
) -> None:
    daemon = start("sources: {in: {verify: none}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n")
    ours, theirs = terminal
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": "1" if plain else ""}
    process = subprocess.Popen(
        [forked_program(), "tail"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    shown = b""
    assert daemon.post("/hooks/in", b"{}").status == 202
    while b"succeeded" not in shown:
        shown += os.read(ours, 65536)

    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE_SECONDS) == 0
    assert (b"\x1b[32msucceeded" in shown) is not plain
