"""Retention: a thread that removes old events with their settled deliveries, in small steps with pauses."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import structlog

from router.domain.errors import StoreError
from router.store.contract import Store

PASS_SECONDS = 60.0  #: from the end of one pass to the next; an event may stay this much longer
_PAUSE_FACTOR = 4.0  #: a pause is this much longer than the step before it, so commits wait at most a fifth of the time
_STEP_SECONDS = 60.0  #: limit of one step
_NEVER = -1  #: ms, earlier than every event

log = structlog.get_logger()


class Retention:
    """Prunes a store. `start` and `stop` belong to one thread.

    `keep` and `keep_dead` are seconds after an event was received; the second for events with a dead delivery, where
    the longer one counts. None: for ever. `removed` is called with the number of events that a step removed.
    """

    def __init__(
        self,
        store: Store,
        keep: float | None,
        keep_dead: float | None,
        now_ms: Callable[[], int],
        removed: Callable[[int], None] = lambda _: None,
        leads: Callable[[], bool] = lambda: True,
        sources: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`leads`: whether this daemon is the one that does it, of those that share the store. `sources`: by name, the
        `keep` of those that have their own; infinite: for ever."""
        self._leads = leads
        self._sources = sources
        self._store = store
        self._keep = keep
        self._keep_dead = keep_dead
        self._now_ms = now_ms
        self._removed = removed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start pruning."""
        self._thread.start()  # also without `keep`: a reload may bring sources with their own

    def stop(self) -> None:
        """Stop after the current step. Call it before the store closes."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping.wait(PASS_SECONDS):
            if not self._leads():
                continue
            try:
                removed = self.sweep()
            except (StoreError, TimeoutError) as error:
                log.warning(
                    "old events can't be removed at the moment; it will be tried again",
                    error=str(error) or "the store is busy",
                )
                continue
            if removed:
                log.info("old events removed", events=removed)

    def sweep(self) -> int:
        """Remove all events that are too old. Returns their number. Raises StoreError, TimeoutError."""
        now = self._now_ms()
        return sum(self._pass(source, keep, now) for source, keep in self._passes() if keep < math.inf)

    def _passes(self) -> Iterator[tuple[str | None, float]]:
        """The sources to prune, with their `keep`; None: all of them."""
        own, keep = self._sources(), math.inf if self._keep is None else self._keep
        if not own:
            yield None, keep
            return
        # One source at a time, so that no step looks at events that another source keeps longer.
        for source in self._store.event_sources():
            yield source, own.get(source, keep)

    def _pass(self, source: str | None, keep: float, now: int) -> int:
        before = now - round(keep * 1000)
        dead_before = _NEVER if self._keep_dead is None else now - round(self._keep_dead * 1000)
        removed = after = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            pruned = self._store.prune(before, dead_before, after, source=source).result(_STEP_SECONDS)
            removed += pruned.events
            self._removed(pruned.events)
            if pruned.next_after is None:
                break
            after = pruned.next_after
            self._stopping.wait(_PAUSE_FACTOR * (time.monotonic() - began))
        return removed
