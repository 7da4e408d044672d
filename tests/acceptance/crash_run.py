"""Kills and restarts a daemon repeatedly while senders post events, and keeps its answers."""

import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from tests.acceptance.recording_receiver import RecordingReceiver
from tests.conftest import PATIENCE_SECONDS, PROGRAM, Daemon, forked_program

ORDER_KEYS = 8  #: each with one sender, which sends an event until it is answered
CONCURRENCY = 8  #: the concurrency of each forward
APPENDED_EVERY, RUN_EVERY = 3, 7  #: every so many events of a lane append a line, or run a command
#: characters of every 39th event: a kill may interrupt its write, and the process of large requests handles it
_LARGE = 300_000
_MAX_BACKLOG = 150  #: the number of waiting deliveries at which the senders pause
_GRACE = 5  #: seconds

RULES = """
secrets: {run: {env: RUN}}
sources:
  open: {verify: none, dedupe: {key: headers.X-Key, window: 1h}}
defaults:
  retry: {initial: 30ms, max: 200ms}
rules:
  - name: sent
    actions:
      - name: loose
        forward: {url: "URL/loose", headers: {X-Run: "{{ secrets.run }}"}, concurrency: 8}
      - name: ordered
        forward: {url: "URL/ordered", headers: {X-Run: "{{ secrets.run }}"}, concurrency: 8}
        order_by: $.lane
  - name: written
    match: {$.append: true}
    actions: [append: all.jsonl]
  - name: run
    match: {$.command: true}
    allow_unverified: true
    actions:
      - command: {argv: [./record.sh], env: {RUN: "{{ secrets.run }}"}, concurrency: 2}
        retry: {attempts: 5}
"""
SCRIPT = """#!/bin/sh
echo "start $WEBHOOK_ROUTER_DELIVERY_ID $RUN" >>record.txt
echo "end $WEBHOOK_ROUTER_DELIVERY_ID $RUN" >>record.txt
"""


@dataclass(slots=True)
class DaemonRun:
    """A run of the daemon, and its end."""

    number: int
    killed: bool  #: whether it was killed; otherwise it was stopped
    ended: float  #: the monotonic time of the process's end
    code: int


@dataclass(slots=True)
class Answers:
    """The daemon's answers to the senders. Keys are `lane/number`."""

    ids: dict[str, str] = field(default_factory=dict)  #: event ids by key
    sent: int = 0
    copies: int = 0  #: the number of answers to duplicates, whose first answer was lost by a kill
    refused: int = 0  #: the number of 503 answers
    problems: list[str] = field(default_factory=list)


class CrashRun:
    """Runs the daemon several times in one folder. The senders continue from run to run. Always call `close`."""

    def __init__(self, folder: Path, seed: int, processes: int = 1) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.killed_processes = 0  #: intake processes that were killed while the daemon continued
        self._flags = ("--processes", str(processes)) if processes > 1 else ()
        self.receiver = RecordingReceiver()
        self.answers = Answers()
        self.runs: list[DaemonRun] = []
        self.lines = bytearray()  #: the complete lines that a reader of the growing file saw
        self._rules = folder / "rules.yaml"
        self._rules.write_text(RULES.replace("URL", self.receiver.url))
        self._script = folder / "record.sh"
        self._script.write_text(SCRIPT)
        self._script.chmod(0o700)
        self._port: int | None = None
        self._changed = threading.Condition()
        self._enough = self._given_up = False
        self._threads = [threading.Thread(target=self._send, args=(f"lane-{lane}",)) for lane in range(ORDER_KEYS)]
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read_lines)
        for thread in (*self._threads, self._reader):
            thread.start()

    @property
    def store(self) -> Path:
        """The path of the store."""
        return self.folder / "webhook-router.db"

    def run_daemon(self, until: Callable[[], None], *, kill: bool) -> None:
        """Start the daemon, wait for `until`, and kill or stop it."""
        daemon = self._start()
        try:
            until()
        finally:
            code = self._end(daemon, kill=kill)
        if not kill and code != 0:
            self.answers.problems.append(f"run {len(self.runs)}: a stop exits {code}")

    def kill_processes(self, most: int, until: Callable[[], None]) -> None:
        """Kill up to `most` intake processes, one after the other. After each wait for `until`."""
        for _ in range(most if self._flags else 0):
            until()
            serving = {
                line["process"]: line["pid"]
                for line in list(self._daemon.lines)
                if line["message"] == "intake process serves"
            }
            with suppress(ProcessLookupError):  # it was killed before, and its replacement does not serve yet
                os.kill(serving[self.random.choice(sorted(serving))], signal.SIGKILL)
                self.killed_processes += 1

    def kill_during_start(self, seconds: float) -> None:
        """Start the daemon and kill it after some seconds, whether it already serves or not."""
        number = len(self.runs) + 1
        process = self._serve(PROGRAM, number)
        try:
            process.wait(seconds)
            self.answers.problems.append(f"run {number} ended by itself with {process.returncode}")
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE_SECONDS)
        self.runs.append(DaemonRun(number, killed=True, ended=time.monotonic(), code=process.returncode))

    def start_second_owner(self) -> None:
        """Start a second daemon on the store of a running one. It must refuse to start and change nothing."""
        process = self._serve(forked_program(), 0)
        try:
            if process.wait(PATIENCE_SECONDS) != 3:
                self.answers.problems.append(f"a second owner exits {process.returncode}")
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)

    def _serve(self, program: str, run: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [program, "serve", str(self._rules), "--listen", "127.0.0.1:0", "--admin", "off", "--store",
             f"sqlite:{self.store}", *self._flags],
            cwd=self.folder, env=self._env(run), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_for_answers(self, more: int) -> None:
        """Wait until `more` further events are answered."""
        goal = len(self.answers.ids) + more
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.answers.ids) >= goal, PATIENCE_SECONDS), (
                "events are not answered"
            )

    def wait_until_settled(self) -> None:
        """Let the senders get their last answers, and wait until every delivery is settled."""
        with self._changed:
            self._enough = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "a sender got no answer"
        deadline = time.monotonic() + 2 * PATIENCE_SECONDS
        with closing(apsw.Connection(str(self.store), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            while left := connection.execute(_UNSETTLED).get:
                assert time.monotonic() < deadline, f"{left} deliveries were not settled"
                self._over.wait(0.05)

    def close(self) -> None:
        """End the threads."""
        with self._changed:
            self._enough = self._given_up = True
            self._port = self._port or 0
            self._changed.notify_all()
        self._over.set()
        for thread in (*self._threads, self._reader):
            thread.join(PATIENCE_SECONDS)
        self.receiver.stop()

    def _env(self, run: int) -> dict[str, str]:
        return {**os.environ, "RUN": str(run)}

    def _start(self) -> Daemon:
        run = len(self.runs) + 1
        flags = ("--grace", str(_GRACE), *self._flags)
        daemon = self._daemon = Daemon(self.folder, self._rules, flags=flags, env=self._env(run))
        with self._changed:
            self._port = daemon.port
            self._changed.notify_all()
        return daemon

    def _end(self, daemon: Daemon, *, kill: bool) -> int:
        if not kill:
            try:
                daemon.stop()
            except subprocess.TimeoutExpired:
                self.answers.problems.append(f"run {len(self.runs) + 1} does not end by SIGTERM")
        daemon.kill()
        code = daemon.process.wait(PATIENCE_SECONDS)
        self.runs.append(DaemonRun(len(self.runs) + 1, killed=kill, ended=time.monotonic(), code=code))
        with self._changed:
            self._port = None
        return code

    def _send(self, lane: str) -> None:
        place, body = 0, ""
        while (port := self._next_port(bool(body))) is not None:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)) as connection:
                while self._port == port and not (self._enough and not body):
                    body = body or self._event(lane, place)
                    if not self._post(connection, f"{lane}/{place}", body):
                        break
                    place, body = place + 1, ""
                    self._limit_backlog()

    def _next_port(self, unanswered: bool) -> int | None:
        """Wait for the daemon and return its port, or None when there is nothing more to send."""
        with self._changed:
            self._changed.wait_for(lambda: self._port is not None or (self._enough and not unanswered))
            return None if self._given_up or (self._enough and not unanswered) else self._port

    def _event(self, lane: str, place: int) -> str:
        what = {"lane": lane, "place": place, "append": place % APPENDED_EVERY == 0, "command": place % RUN_EVERY == 0}
        pad = "x" * (_LARGE if place % 39 == 0 else 50)
        return json.dumps({**what, "pad": pad})

    def _post(self, connection: http.client.HTTPConnection, key: str, body: str) -> bool:
        """Send an event. True if the answer says that it is stored."""
        self.answers.sent += 1
        try:
            connection.request("POST", "/hooks/open", body, {"Content-Type": "application/json", "X-Key": key})
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._over.wait(0.02)  # the daemon was killed or doesn't listen yet: send the same event again
            return False
        if answer.status == 503:
            self.answers.refused += 1
            self._over.wait(0.05)
            return False
        with self._changed:
            if answer.status not in (200, 202):
                self.answers.problems.append(f"{key} was answered {answer.status} {content}")
            self.answers.copies += answer.status == 200
            self.answers.ids[key] = content.get("id", "")
            self._changed.notify_all()
        return True

    def _limit_backlog(self) -> None:
        """Pause while many deliveries wait, since a longer queue only makes the test longer."""
        while (
            2 * len(self.answers.ids) - self.receiver.succeeded > _MAX_BACKLOG
            and not self._enough
            and self._port is not None
        ):
            self._over.wait(0.01)

    def _read_lines(self) -> None:
        """Follow the file as a log shipper does: read each complete line once."""
        path = self.folder / "all.jsonl"
        last = False
        while not last:
            last = self._over.wait(0.02)
            if path.exists():
                with path.open("rb") as file:
                    file.seek(len(self.lines))
                    more = file.read()
                self.lines += more[: more.rfind(b"\n") + 1]


_UNSETTLED = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'running')"
