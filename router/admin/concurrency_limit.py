"""Limits how many requests run at once and how many wait. Further ones are refused, so that they block no thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ConcurrencyLimit:
    """The limit. Any thread may call it."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._running = threading.BoundedSemaphore(at_once)
        self._admitted = threading.BoundedSemaphore(at_once + waiting)

    @contextmanager
    def slot(self, seconds: float) -> Iterator[bool]:
        """Wait for a slot, at most this many seconds. Yields whether there was one. The slot is freed at the end."""
        if not self._admitted.acquire(blocking=False):
            yield False
            return
        try:
            if not self._running.acquire(timeout=seconds):
                yield False
                return
            try:
                yield True
            finally:
                self._running.release()
        finally:
            self._admitted.release()
