"""What all commands of a running daemon share: the guard, and threads that start programs."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from router.actions.command.guard import Guard
from router.plugins.action import Tools
from router.runtime.thread_pool import Threads, open_threads

_THREADS = 16  #: programs that are started at once; each start takes a millisecond, unless its disk is gone


@dataclass(slots=True)
class Programs:
    """Belongs to the loop."""

    threads: Threads
    guard: Guard | None = None

    async def guarded(self, tools: Tools[Any]) -> Guard:
        """The guard. It is started for the first command."""
        if self.guard is None:
            self.guard = Guard(self.threads, tools.lease, tools.guard_lock)
        await self.guard.ready()
        return self.guard


@contextlib.asynccontextmanager
async def open_programs() -> AsyncIterator[Programs]:
    """Open them for the running loop. The end of the block closes them."""
    async with open_threads("spawn", _THREADS) as threads:
        programs = Programs(threads)
        try:
            yield programs
        finally:
            if programs.guard is not None:
                await programs.guard.close()
