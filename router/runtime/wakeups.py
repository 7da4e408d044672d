"""Wake-ups of other threads that a commit's results cause: each thread once, after all results are given out.

A wake-up is a system call that gives the interpreter away; the woken thread takes the one result that is there, sleeps,
and is woken for the next. One wake-up for a whole commit saves both of them most of these turns.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

_mine = threading.local()


@contextlib.contextmanager
def gathered() -> Iterator[None]:
    """Keep this thread's wake-ups back until the end of the block."""
    waiting: dict[Callable[[], None], None] = {}
    _mine.waiting = waiting
    try:
        yield
    finally:
        _mine.waiting = None
        for wake in waiting:
            wake()


def wake_up(wake: Callable[[], None]) -> None:
    """Wake another thread by calling this function: now, or at the end of a `gathered` block, and then only once."""
    waiting = getattr(_mine, "waiting", None)
    if waiting is None:
        wake()
    else:
        waiting[wake] = None
