"""Cancels the running attempts when the node's lease has ended, even if it was renewed later."""

import asyncio
from collections.abc import Callable

import structlog

from router.runtime.lease import Lease, lease_clock
from router.runtime.loop_inbox import Inbox

log = structlog.get_logger()


class LeaseWatch:
    """Made in the delivery loop, and belongs to it."""

    def __init__(self, lease: Lease, inbox: Inbox, cut_off: Callable[[], None]) -> None:
        """`cut_off` cancels all running attempts."""
        self._lease = lease
        self._cut_off = cut_off
        self._lapses = lease.lapses
        self._alarm: asyncio.TimerHandle | None = None
        lease.on_renewed(lambda: inbox.call(self._look))
        self._look()

    def _look(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        lapses, self._lapses = self._lapses, self._lease.lapses
        seconds = self._lease.until - lease_clock()
        if seconds <= 0 or lapses != self._lapses:
            log.error("the node's lease is over; its attempts are cut off, and made again here or by another node")
            self._cut_off()
        if 0 < seconds < float("inf"):
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._look)
