"""How many may work at once, how many may wait for that; the others are sent away, so that no thread waits for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ConcurrencyLimit:
    """Any thread may ask for one."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._working = threading.BoundedSemaphore(at_once)
        self._here = threading.BoundedSemaphore(at_once + waiting)

    @contextmanager
    def taken(self, seconds: float) -> Iterator[bool]:
        """Whether there was a place, after so many seconds at the most; it is given back at the end."""
        if not self._here.acquire(blocking=False):
            yield False
            return
        try:
            if not self._working.acquire(timeout=seconds):
                yield False
                return
            try:
                yield True
            finally:
                self._working.release()
        finally:
            self._here.release()
