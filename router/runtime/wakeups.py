"""Wakes other threads once for all results of a commit, after the last result.

A wake-up is a system call that releases the interpreter's lock. The woken thread would take one result, sleep, and be
woken for the next. One wake-up for a whole commit saves both threads most of this switching.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

_mine = threading.local()


@contextlib.contextmanager
def gathered() -> Iterator[None]:
    """Delay this thread's wake-ups until the end of the block."""
    waiting: dict[Callable[[], None], None] = {}
    _mine.waiting = waiting
    try:
        yield
    finally:
        _mine.waiting = None
        for wake in waiting:
            wake()


def wake_up(wake: Callable[[], None]) -> None:
    """Wake another thread by calling this function: now, or once at the end of a `gathered` block."""
    waiting = getattr(_mine, "waiting", None)
    if waiting is None:
        wake()
    else:
        waiting[wake] = None
