"""Writes to a store that a daemon is using."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from router.domain.errors import StoreUnavailable

TRIES = 3  #: for one write to a busy store; the store itself waits some seconds in each
WRITE_SECONDS = 30.0  #: limit of one write; the store gives up earlier by itself
T = TypeVar("T")


def write_patiently(write: "Callable[[], Future[T]]") -> T:
    """Write, and try again if the store is busy. Then rest for as long as the write took. Raises StoreError."""
    for left in reversed(range(TRIES)):
        began = time.monotonic()
        try:
            result = write().result(WRITE_SECONDS)
        except StoreUnavailable:
            if not left:
                raise
            continue
        except TimeoutError:
            raise StoreUnavailable("the store did not commit in time; is its disk slow or full?") from None
        # SQLite's lock is not fair: without a rest, a daemon's commits could wait until all our writes are done.
        time.sleep(time.monotonic() - began)
        return result
    raise AssertionError("unreachable")
