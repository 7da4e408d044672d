"""Notices that the wall clock was set back, and shortens waits: what is due by the old time would wait for too long."""

import asyncio
import time
from collections.abc import Callable

import structlog

from router.domain.errors import RouterError
from router.runtime.loop_inbox import Inbox
from router.store.contract import Store

STEP_SECONDS = 1.0  #: smaller steps hardly delay anything; a slewed clock moves by far less between two checks
AGAIN_SECONDS = 15.0  #: after a step: an event received before the step may be stored this much later

log = structlog.get_logger()


class ClockWatch:
    """Says when the waits of deliveries may be too long. Belongs to the delivery loop."""

    def __init__(self) -> None:
        # seconds that the wall clock was ahead of the monotonic clock at the last check
        self._ahead: float | None = None
        self._look_at: float | None = 0.0  # at the start: the clock may have been set while nothing ran

    def waits_are_suspect(self, now_ms: int, clock: float) -> bool:
        """Whether waits may be too long by now, at this time (ms) and `clock` (monotonic seconds)."""
        ahead = now_ms / 1000 - clock
        before, self._ahead = self._ahead, ahead
        if before is not None and ahead < before - STEP_SECONDS:
            log.warning("clock was set back; what waited by the old time is due", seconds=round(before - ahead, 1))
            self._look_at = clock + AGAIN_SECONDS
            return True
        if self._look_at is not None and clock >= self._look_at:
            self._look_at = None
            return True
        return False

    def ask_again(self, clock: float) -> None:
        """Report it again soon, since the waits could not be shortened this time."""
        self._look_at = clock + STEP_SECONDS


class ShortenedWaits:
    """Shortens waits in the store whenever they are suspect. Made in the delivery loop, and belongs to it."""

    def __init__(
        self, store: Store, inbox: Inbox, now_ms: Callable[[], int], stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._now_ms = now_ms
        self._stopping = stopping
        self._clock = ClockWatch()
        self._shortening: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Look at the clock. Call it in each turn of the loop."""
        if self._shortening is not None and not self._shortening.done():
            return
        if self._clock.waits_are_suspect(self._now_ms(), time.monotonic()):
            self._shortening = asyncio.create_task(self._shorten())

    async def _shorten(self) -> None:
        after: int | None = 0
        try:
            while after is not None and not self._stopping():
                after = await self._inbox.result(self._store.shorten_waits(self._now_ms(), after))
        except RouterError:
            self._clock.ask_again(time.monotonic())
