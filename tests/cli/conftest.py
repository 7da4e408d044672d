"""Fixtures for commands on a store without a daemon, with output into pipes or at a terminal."""

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store.sqlite.operator_store import SqliteOperatorStore
from tests.conftest import PATIENCE_SECONDS, forked_program, run_in_process
from tests.sqlite_template import open_store

Done = subprocess.CompletedProcess[str]


def now_ms() -> int:
    """The time of the wall clock in ms."""
    return time.time_ns() // 1_000_000


@dataclass
class StoreCommands:
    """A store that is closed between calls, and commands that run on it."""

    folder: Path

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.folder / "webhook-router.db"

    def opened(self, *, own: bool = True) -> Any:
        """The store, for a `with` statement."""
        return closing(open_store(self.path) if own else SqliteOperatorStore(self.path))

    def put(self, *plans: PlannedDelivery, age: int = 0, **given: Any) -> str:
        """Store an event received `age` ms ago with these deliveries; returns its id."""
        return self.put_many([(plans, age, given)])[0]

    def put_many(self, events: list[tuple[tuple[PlannedDelivery, ...], int, dict[str, Any]]]) -> list[str]:
        """Store many events. See `put`."""
        with self.opened() as store:
            store.put_ruleset(RulesetText("r1", "rules: []", "/"), 0).result(60)
            ids: list[str] = []
            futures = []
            for plans, age, given in events:
                at = now_ms() - age
                defaults: dict[str, Any] = {
                    "id": uuid7(at),
                    "source": "github",
                    "method": "POST",
                    "path": "/hooks/github",
                    "query": "",
                    "headers": (("Content-Type", "application/json"),),
                    "body": b"{}",
                    "ip": "192.0.2.1",
                    "received_at": at,
                }
                futures.append(store.append(Event(**defaults | given), plans, "r1"))
                if len(futures) == 500:  # the store refuses writes beyond some thousands that wait
                    ids += [future.result(60).event_id for future in futures]
                    futures.clear()
            return ids + [future.result(60).event_id for future in futures]

    def end(self, state: State, error: str = "gone", excerpt: str = "", target: str = "ci") -> None:
        """Attempt all due deliveries of a target, with this result."""
        at = now_ms()
        with self.opened() as store:
            outcome = (
                Outcome.succeeded(200, excerpt) if state is State.SUCCEEDED else Outcome.failed(error, 410, excerpt)
            )
            if state is State.PENDING:
                outcome = Outcome.retry(error, 500, excerpt)
            for claim in store.claim({target: 5000}, at).result(60):
                done = Settlement(claim.delivery.id, claim.token, outcome, state, at + 12, at + 3_600_000)
                assert store.settle([done]).result(60)[0]

    def state(self, delivery_id: str) -> State:
        """The state of a delivery."""
        with self.opened(own=False) as store:
            return State(store.delivery(delivery_id).state)

    def states(self) -> dict[str, State]:
        """The states of all deliveries."""
        with self.opened(own=False) as store:
            return {d.id: d.state for d in store.deliveries(limit=10_000)}

    def run(self, *arguments: str, code: int = 0) -> Done:
        """Run a command in this process, since a process of its own takes a second; tests/acceptance start those."""
        done = run_in_process(*arguments, folder=self.folder)
        assert "Traceback" not in done.stderr
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json and return the printed value."""
        done = self.run(*arguments, "--json", code=code)
        assert not done.stderr
        return json.loads(done.stdout)

    def on_a_terminal(self, *arguments: str, answer: str = "", columns: int = 80) -> tuple[int, str]:
        """Run a command at a terminal. Return its exit code and everything that it printed."""
        ours, theirs = pty.openpty()
        env = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
        process = subprocess.Popen(
            [forked_program(), *arguments], cwd=self.folder, stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)
        os.write(ours, answer.encode())
        printed = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            printed += piece
        os.close(ours)
        return process.wait(PATIENCE_SECONDS), printed.decode()


@pytest.fixture
def store_commands(tmp_path: Path) -> Iterator[StoreCommands]:
    """An empty store."""
    store_commands = StoreCommands(tmp_path)
    with store_commands.opened():
        pass
    yield store_commands


@pytest.fixture
def plan() -> Callable[..., PlannedDelivery]:
    """Return a function that makes a planned delivery."""

    def make(age: int = 0, **given: Any) -> PlannedDelivery:
        defaults: dict[str, Any] = {
            "id": uuid7(now_ms() - age),
            "rule": "deploy",
            "action": "forward",
            "type": "forward",
            "target": "ci",
        }
        return PlannedDelivery(**defaults | given)

    return make
