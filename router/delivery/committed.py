"""Writes of the delivery loop that must not be lost."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import structlog

from router.domain.errors import StoreUnavailable
from router.runtime.loop_inbox import Inbox

STORE_RETRY_SECONDS = (0.05, 0.2, 1.0)  #: waits before a write that couldn't commit is tried again

T = TypeVar("T")
log = structlog.get_logger()


class CommittedWrites:
    """Repeats a write until it is committed. Belongs to the delivery loop."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def write(self, write: "Callable[[], Future[T]]") -> T:
        """Write until it is committed: the target has been called already, so only the write may be repeated.

        A stop may cancel the caller, but not the write: the store goes on with it.
        """
        tries = 0
        while True:
            try:
                return await self._inbox.result(write())
            except StoreUnavailable as error:
                if tries == 0:
                    log.error("settle can't be committed; kept and tried again", error=str(error))
                await asyncio.sleep(STORE_RETRY_SECONDS[min(tries, len(STORE_RETRY_SECONDS) - 1)])
                tries += 1
