"""What waits at each target, read from the store for scrapes."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from router.domain.errors import StoreError
from router.domain.summaries import Depth
from router.operate.held import held_depths
from router.store.contract import Store

DEPTHS_SECONDS = 1.0  #: how long a result is reused; with millions of rows a count takes some 50 ms
DEPTHS_WAIT_SECONDS = 3.0  #: how long a scrape waits for the count; then it replies without it


class DepthCache:
    """Counts at most once in DEPTHS_SECONDS, for all scrapes together. Any thread may call it.

    A separate thread counts: a disk that hangs must not stop the metrics that report it.
    """

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._lock = threading.Lock()  # guards the fields below
        self._begun_at = 0.0  # monotonic
        self._counting: Future[list[Depth] | None] | None = None

    def read(self) -> list[Depth] | None:
        """The depths; None while the store can't be read, so that no old value is reported."""
        with self._lock:
            counting, now = self._counting, time.monotonic()
            if counting is None or (counting.done() and now >= self._begun_at + DEPTHS_SECONDS):
                counting = self._counting = Future()
                self._begun_at = now
                threading.Thread(target=self._count, args=(counting,), name="depths", daemon=True).start()
        try:
            return counting.result(DEPTHS_WAIT_SECONDS)
        except TimeoutError:
            return None

    def _count(self, counting: Future[list[Depth] | None]) -> None:
        try:
            counting.set_result(held_depths(self._store.depths(), self._store.holds(), self._now_ms()))
        except StoreError:
            counting.set_result(None)
        except Exception as error:  # noqa: BLE001 - the waiting scrape raises it
            counting.set_exception(error)
