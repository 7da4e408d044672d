"""Work on rules texts for a view: one at a time in the daemon, limited, and without slowing arriving events."""

from collections.abc import Iterator
from contextlib import contextmanager

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.view import Problem
from router.runtime.pacing import TooLong, resting_while_busy

WAIT_SECONDS = 2.0  #: how long it waits for another check or plan; the browser shows that it waits
WORK_SECONDS = 10.0  #: limit of one check or plan; a file of 10,000 rules takes some 2 s


@contextmanager
def rules_work(daemon: DaemonHandle, command: str) -> Iterator[None]:
    """Rules may be compiled within the block. `command` is the command that has no such limit. Raises Problem."""
    if not daemon.checking.acquire(timeout=WAIT_SECONDS):
        raise Problem(503, "another check or plan of rules is under way; try again in a moment")
    try:
        with resting_while_busy(daemon.busy, seconds=WORK_SECONDS):
            yield
    except TooLong:
        raise Problem(503, f"these rules are too much work for a running daemon; use {command}") from None
    finally:
        daemon.checking.release()
