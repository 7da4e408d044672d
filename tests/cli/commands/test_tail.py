"""`tail` on a store without a daemon: where it begins and what it prints."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.domain.deliveries import PlannedDelivery, State
from tests.cli.conftest import StoreCommands
from tests.conftest import PATIENCE_SECONDS, forked_program, until

MakePlan = Callable[..., PlannedDelivery]


class Tail:
    """Runs `tail` until it has printed the expected number of lines."""

    def __init__(self, store_commands: StoreCommands) -> None:
        self._shop = store_commands
        self._out = store_commands.folder / "tail.out"
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, *flags: str, lines: int) -> list[str]:
        """Wait for `lines` lines, interrupt `tail`, and return what it printed. More lines are an error."""
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(
                [forked_program(), "tail", *flags], cwd=self._shop.folder, stdout=out, stderr=subprocess.PIPE
            )
        until(lambda: self._out.read_text().count("\n") >= lines)
        self._process.send_signal(signal.SIGINT)
        _, err = self._process.communicate(timeout=PATIENCE_SECONDS)
        assert (self._process.returncode, err) == (0, b"")
        found = self._out.read_text().splitlines()
        assert len(found) == lines
        return found

    def end(self) -> None:
        """Kill the process if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def tail(store_commands: StoreCommands) -> Iterator[Tail]:
    """A `tail` of the store."""
    tail = Tail(store_commands)
    yield tail
    tail.end()


def test_tail_shows_an_event_and_its_attempts_as_text(
    store_commands: StoreCommands, tail: Tail, plan: MakePlan
) -> None:
    store_commands.put(age=1000)
    event = store_commands.put(plan(), plan(action="script", type="command", target="deploy/script"))
    store_commands.end(State.DEAD, error="the host is gone")
    store_commands.end(State.SUCCEEDED, target="deploy/script")

    unmatched, first, dead, ran = tail(lines=4)

    assert first.endswith(f" {event} github POST /hooks/github 2 B -> deploy")
    assert dead.endswith(f" {event} github deploy/forward #1 dead 410 12ms: the host is gone")
    assert ran.endswith(f" {event} github deploy/script #1 succeeded exit 200 12ms")
    assert unmatched.endswith("-> no rule matched")


def test_tail_begins_with_the_last_lines(store_commands: StoreCommands, tail: Tail, plan: MakePlan) -> None:
    ids = [store_commands.put(plan()) for _ in range(4)]

    assert [line.split()[1] for line in tail("--lines", "2", lines=2)] == ids[2:]
    assert [line.split()[1] for line in tail(lines=4)] == ids
    assert [line.split()[1] for line in tail("--since", "1h", "--rule", "deploy", lines=4)] == ids


def test_tail_can_begin_at_a_time(store_commands: StoreCommands, tail: Tail, plan: MakePlan) -> None:
    store_commands.put(plan(), age=7_200_000)
    young = store_commands.put(plan(), age=60_000)

    assert [line.split()[1] for line in tail("--since", "1h", lines=1)] == [young]


def test_tail_can_show_only_failed_attempts(store_commands: StoreCommands, tail: Tail, plan: MakePlan) -> None:
    store_commands.put(plan())
    store_commands.end(State.SUCCEEDED)
    store_commands.put(plan(target="b"))
    store_commands.end(State.PENDING, error="later", target="b")

    [line] = tail("--failed", lines=1)

    assert "#1 retry 500 12ms: later" in line


def test_tail_can_print_json_lines(store_commands: StoreCommands, tail: Tail, plan: MakePlan) -> None:
    event = store_commands.put(plan())
    store_commands.end(State.DEAD, excerpt="an answer that may hold anything")

    arrived, ended = map(json.loads, tail("--json", lines=2))

    assert {key: arrived[key] for key in ("kind", "event", "source", "matched", "deliveries", "size")} == {
        "kind": "event", "event": event, "source": "github", "matched": ["deploy"], "deliveries": 1, "size": 2,
    }  # fmt: skip
    facts: dict[str, Any] = {
        "kind": "attempt", "event": event, "source": "github", "rule": "deploy", "action": "forward", "target": "ci",
        "type": "forward", "state": "dead", "last": True, "number": 1, "outcome": "failed", "status": 410, "error": "gone",
        "duration_ms": 12,
    }  # fmt: skip
    assert {key: ended[key] for key in facts} == facts
    assert "excerpt" not in ended
    assert ended["finished_at"].endswith("Z")


def test_tail_escapes_control_characters(store_commands: StoreCommands, tail: Tail, plan: MakePlan) -> None:
    store_commands.put(plan(rule="r\x1b[2J", action="a\nb"), path="/hooks/\x07")
    store_commands.end(State.DEAD, error="e\x9b\r\n\u202e" + "x" * 5000)

    arrived, ended = tail(lines=2)

    assert "/hooks/\\x07" in arrived
    assert "r\\x1b[2J/a\\nb #1" in ended
    assert "e\\x9b\\r\\n\\u202e" in ended
    assert len(ended) < 1000


def test_tail_ends_when_the_store_is_replaced(store_commands: StoreCommands) -> None:
    store_commands.put()
    process = subprocess.Popen(
        [forked_program(), "tail"], cwd=store_commands.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    for file in store_commands.folder.glob("webhook-router.db*"):
        file.unlink()

    _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    replaced = f"the store {store_commands.folder / 'webhook-router.db'} was replaced or removed; start tail again"
    assert err.decode() == f"webhook-router: {replaced}\n"


def test_tail_does_not_create_a_missing_store(store_commands: StoreCommands, tmp_path: Path) -> None:
    done = store_commands.run("tail", "--store", "sqlite:none.db", code=1)

    assert "there is no store" in done.stderr
    assert not (store_commands.folder / "none.db").exists()


@pytest.mark.parametrize("flags", [("--since", "soon"), ("--lines", "-1"), ("--lines", "x"), ("--store", "x:y")])
def test_invalid_flags_are_usage_errors(store_commands: StoreCommands, flags: tuple[str, ...]) -> None:
    store_commands.run("tail", *flags, code=2)


def test_tail_reports_an_unknown_name_at_once(store_commands: StoreCommands, plan: MakePlan) -> None:
    store_commands.put(plan(rule="deploy"))

    process = subprocess.Popen(
        [forked_program(), "tail", "--rule", "deplyo"],
        cwd=store_commands.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b'no rule "deplyo" is known; did you mean "deploy"?\n'
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
