"""Retention: a thread that removes old events with their settled deliveries, in small steps with pauses."""

import threading
import time
from collections.abc import Callable

import structlog

from router.domain.errors import StoreError
from router.store.contract import Store

PASS_SECONDS = 60.0  #: from the end of one pass to the next; an event may stay that much longer
_PAUSE_FACTOR = 4.0  #: a pause takes this times the step before it, so commits wait at most a fifth of the time
_STEP_SECONDS = 60.0  #: most that one step may take
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
    ) -> None:
        """`leads`: whether this daemon is the one that does it, of those that share the store."""
        self._leads = leads
        self._store = store
        self._keep = keep
        self._keep_dead = keep_dead
        self._now_ms = now_ms
        self._removed = removed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start pruning."""
        if self._keep is not None:
            self._thread.start()

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
                    "old events can't be removed just now; tried again", error=str(error) or "the store is busy"
                )
                continue
            if removed:
                log.info("old events removed", events=removed)

    def sweep(self) -> int:
        """One pass over the old events; gives the number of removed events. Raises StoreError, TimeoutError."""
        if self._keep is None:
            return 0
        now = self._now_ms()
        before = now - round(self._keep * 1000)
        dead_before = _NEVER if self._keep_dead is None else now - round(self._keep_dead * 1000)
        removed = after = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            pruned = self._store.prune(before, dead_before, after).result(_STEP_SECONDS)
            removed += pruned.events
            self._removed(pruned.events)
            if pruned.next_after is None:
                break
            after = pruned.next_after
            self._stopping.wait(_PAUSE_FACTOR * (time.monotonic() - began))
        return removed
