"""The commands of a killed daemon are killed, so that no command runs twice at the same time."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]

RULES = """
sources: {open: {verify: none}}
rules:
  - name: deploy
    match: {headers.X-Run: deploy}
    allow_unverified: true
    actions: [{command: {argv: [./deploy.py], concurrency: 1}}]
  - name: quick
    match: {headers.X-Run: quick}
    allow_unverified: true
    actions: [{command: ["true"]}]
"""
# Holds a lock until it and its child have ended. It reports when another run already holds the lock.
SCRIPT = f"""#!{sys.executable} -IS
import fcntl, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = os.open("lock", os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("twice at once", file=open("witness", "a"), flush=True)
    sys.exit()
print("run", file=open("witness", "a"), flush=True)
if os.path.exists("quick"):
    sys.exit()
if os.fork():
    print("started", file=open("witness", "a"), flush=True)
signal.pause()
"""


def _guards(daemon: int) -> list[int]:
    """The guards that this running daemon has started."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit():
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == daemon and b"guard_process.py" in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        except OSError:
            continue
    return found


def _begin(start: Start, eventually: Wait, tmp_path: Path, *flags: str) -> Daemon:
    """Start a daemon with a running command that holds its lock."""
    script = tmp_path / "deploy.py"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    daemon = start(RULES, flags=flags)
    assert daemon.post("/hooks/open", b"{}", {"X-Run": "deploy"}).status == 202
    eventually(lambda: "started" in _witness(tmp_path))
    return daemon


def _witness(tmp_path: Path) -> list[str]:
    try:
        return (tmp_path / "witness").read_text().splitlines()
    except FileNotFoundError:
        return []


@pytest.mark.parametrize("flags", [(), ("--processes", "2")])
def test_no_command_runs_twice_at_once_after_the_daemon_was_killed(
    start: Start, eventually: Wait, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    _begin(start, eventually, tmp_path, *flags).kill()
    (tmp_path / "quick").touch()

    again = start(RULES)

    again.wait_for_line("attempt settled", outcome="succeeded")
    assert _witness(tmp_path) == ["run", "started", "run"]


def test_a_killed_guard_is_replaced_by_one_that_guards_running_commands(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    daemon = _begin(start, eventually, tmp_path)
    [guard] = _guards(daemon.process.pid)

    os.kill(guard, signal.SIGKILL)
    daemon.wait_for_line("the guard of commands ended; another one is started")
    daemon.wait_for_line("another guard watches the commands")
    daemon.kill()
    (tmp_path / "quick").touch()
    start(RULES).wait_for_line("attempt settled", rule="deploy", outcome="succeeded")

    assert "twice at once" not in _witness(tmp_path)


def test_commands_wait_until_the_guard_of_a_killed_daemon_has_finished(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    daemon = _begin(start, eventually, tmp_path)
    [guard] = _guards(daemon.process.pid)
    os.kill(guard, signal.SIGSTOP)
    daemon.kill()
    (tmp_path / "quick").touch()

    again = start(RULES)
    again.wait_for_line("commands wait: the guard of an earlier daemon is still ending its commands")
    assert _witness(tmp_path) == ["run", "started"]
    os.kill(guard, signal.SIGCONT)

    again.wait_for_line("attempt settled", outcome="succeeded")
    assert _witness(tmp_path) == ["run", "started", "run"]


def test_a_stop_of_all_processes_ends_the_commands_before_the_guard(
    start: Start, eventually: Wait, tmp_path: Path
) -> None:
    daemon = _begin(start, eventually, tmp_path, "--grace", "0.1")
    [guard] = _guards(daemon.process.pid)
    holds_lock = [str(link) for link in _links(guard) if link.name == f"{daemon.store.name}.lock"]

    os.kill(guard, signal.SIGTERM)  # all at once, like systemd with KillMode=control-group
    assert daemon.stop() == 0

    eventually(lambda: not Path(f"/proc/{guard}").exists())
    assert holds_lock == []
    assert daemon.wait_for_line("attempt settled", outcome="interrupted")["state"] == "pending"


def _links(pid: int) -> list[Path]:
    """The targets of a process's file descriptors."""
    return [fd.readlink() for fd in Path(f"/proc/{pid}/fd").iterdir()]


def test_a_daemon_that_runs_no_command_has_no_guard(start: Start) -> None:
    daemon = start(RULES)
    assert daemon.post("/hooks/open", b"{}").status == 202
    before = _guards(daemon.process.pid)

    daemon.post("/hooks/open", b"{}", {"X-Run": "quick"})
    daemon.wait_for_line("attempt settled", outcome="succeeded")

    assert before == []
    assert len(_guards(daemon.process.pid)) == 1
