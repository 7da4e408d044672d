"""What waits at each target and for each rule, counted for viewers.

A count of few rows is made for each viewer. One of a million takes up to half a second: then viewers share the last
one, see how old it is, and the next one is made meanwhile.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from router.domain.summaries import Depth
from router.store.contract import OperatorStore

SHARED_ROWS = 50_000  #: rows of a count that viewers share; fewer are counted anew in some 10 ms
SHARED_SECONDS = 1.0  #: for which a count is shared at least
SHARED_TIMES = 10  #: or so many times as long as it took: so that at most a tenth of a core counts
WAIT_SECONDS = 0.03  #: that a viewer waits for a new count before seeing the last one

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Count(Generic[_T]):
    """What was counted."""

    found: _T
    rows: int  #: how many rows it counted
    begun_at: float  #: s, of a monotonic clock
    took: float  #: s


@dataclass
class SharedCount(Generic[_T]):
    """One count. Any thread may call it."""

    rows_of: Callable[[_T], int]
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)  #: guards the fields below
    _last: Count[_T] | None = None
    _next: "Future[Count[_T]] | None" = None

    def read(self, make: Callable[[], _T]) -> tuple[_T, float]:
        """What `make` counts, or counted lately, and how old that is in seconds. Raises StoreError."""
        last = self._last
        if last is None or last.rows < SHARED_ROWS:
            return self._make(make).found, 0.0
        counting = self._begun(last, make)
        with suppress(TimeoutError):
            last = counting.result(WAIT_SECONDS) if counting is not None else last
        return last.found, max(0.0, self.clock() - last.begun_at)

    def _begun(self, last: Count[_T], make: Callable[[], _T]) -> "Future[Count[_T]] | None":
        """The count that is under way. None while the last one is new enough."""
        with self._lock:
            if self._next is not None and not self._next.done():
                return self._next
            if self.clock() - last.begun_at < max(SHARED_SECONDS, SHARED_TIMES * last.took):
                return None
            counting = self._next = Future()
        threading.Thread(target=self._fill, args=(counting, make), name="count", daemon=True).start()
        return counting

    def _fill(self, counting: "Future[Count[_T]]", make: Callable[[], _T]) -> None:
        try:
            counting.set_result(self._make(make))
        except Exception as error:  # noqa: BLE001 - the waiting viewers raise it
            counting.set_exception(error)

    def _make(self, make: Callable[[], _T]) -> Count[_T]:
        begun = self.clock()
        found = make()
        self._last = Count(found, self.rows_of(found), begun, self.clock() - begun)
        return self._last


def _rows_of(depths: Sequence[Depth]) -> int:
    return sum(d.due + d.blocked + d.held + d.running + d.dead for d in depths)


def _sum(waiting: dict[str, int]) -> int:
    return sum(waiting.values())


@dataclass(frozen=True)
class RecentCounts:
    """The counts of one store. Any thread may call it."""

    _depths: SharedCount[list[Depth]] = field(default_factory=lambda: SharedCount(_rows_of))
    _waiting: SharedCount[dict[str, int]] = field(default_factory=lambda: SharedCount(_sum))

    def depths(self, store: OperatorStore) -> tuple[list[Depth], float]:
        """See StoreReader.depths, and how old that is in seconds. Raises StoreError."""
        return self._depths.read(store.depths)

    def waiting(self, store: OperatorStore, rules: Sequence[str]) -> tuple[dict[str, int], float]:
        """See StoreReader.waiting, and how old that is in seconds. After a reload, a new rule may be left out once.
        Raises StoreError."""
        return self._waiting.read(lambda: store.waiting(rules))
