"""The tests also pass when a script starts them in its background."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_SECONDS, signals_reach_children

ROOT = Path(__file__).parents[1]
SIGNALS = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGPIPE", "SIGALRM", "SIGUSR1")


@pytest.fixture(params=SIGNALS)
def ignored(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that this process ignores and blocks, as after `trap '' SIGNAL` in a script."""
    number = signal.Signals[request.param]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    handler = signal.signal(number, signal.SIG_IGN)
    yield number
    signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def test_a_signal_that_the_tests_ignore_reaches_their_children(ignored: signal.Signals) -> None:
    with signals_reach_children():
        child = subprocess.Popen(["sleep", "30"])
        os.kill(os.getpid(), ignored)  # this process continues
    child.send_signal(ignored)

    assert child.wait(PATIENCE_SECONDS) == -ignored


def test_a_test_of_tail_passes_where_every_signal_is_ignored(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    test = "tests/cli/commands/test_tail.py::test_tail_can_begin_at_a_time"
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:schemathesis",
        "--basetemp",
        str(tmp_path / "run"),
    )

    done = subprocess.run(
        ["sh", "-c", "trap '' INT QUIT HUP TERM CHLD PIPE USR1; exec \"$@\"", "sh",
         sys.executable, "-m", "pytest", *options, test],
        cwd=ROOT, env=kept, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
