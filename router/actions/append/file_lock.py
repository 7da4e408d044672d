"""Locks a file for one writer: first among this process's threads, then among all programs."""

import contextlib
import fcntl
import threading
import time
import weakref
from collections.abc import Iterator

_LONGEST_PAUSE_SECONDS = 0.02  #: between two tries at a lock that another program holds
_FIRST_PAUSE_SECONDS = 0.0005

_turns: "weakref.WeakValueDictionary[str, threading.Lock]" = weakref.WeakValueDictionary()
_turns_lock = threading.Lock()


@contextlib.contextmanager
def turn_at(path: str, deadline: float) -> Iterator[None]:
    """Keep this process's other threads from the file. `deadline` in monotonic seconds. Raises TimeoutError."""
    with _turns_lock:
        turn = _turns.get(path)
        if turn is None:
            turn = _turns[path] = threading.Lock()
    if not turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    try:
        yield
    finally:
        turn.release()


def lock(fd: int, deadline: float) -> None:
    """Take the file's lock. `deadline` in monotonic seconds. Raises TimeoutError.

    It polls, since a thread that blocks in flock can't be stopped.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return
