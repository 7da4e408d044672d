"""What all commands of a running daemon share: threads that start programs, and their guard."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from router.actions.command.guard import Guard
from router.plugins.action import Tools
from router.runtime.thread_pool import Threads, open_threads

_THREADS = 16  #: programs being started at once; each takes a millisecond, unless its mount is gone


@dataclass(slots=True)
class Programs:
    """Belongs to the loop."""

    threads: Threads
    guard: Guard | None = None

    async def guarded(self, tools: Tools[Any]) -> Guard:
        """The guard, which is started for the first command."""
        if self.guard is None:
            self.guard = Guard(self.threads, tools.lease, tools.guard_lock)
        await self.guard.ready()
        return self.guard


@contextlib.asynccontextmanager
async def open_programs() -> AsyncIterator[Programs]:
    """Of the running loop; closed at the end of the block."""
    async with open_threads("spawn", _THREADS) as threads:
        programs = Programs(threads)
        try:
            yield programs
        finally:
            if programs.guard is not None:
                await programs.guard.close()
