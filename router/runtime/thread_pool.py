"""Threads for blocking calls: on a disk, a dead network mount, a name server that does not answer."""

import asyncio
import contextlib
import queue
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple["asyncio.Future[Any]", str, Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Runs calls outside the loop. Belongs to the loop; only `_work` runs in the threads.

    Unlike those of concurrent.futures, these are daemon threads: a call that never returns blocks its own thread, but
    neither the loop nor the end of the process.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._started = 0
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._under_way: Counter[str] = Counter()  #: calls by key, waiting ones included

    def under_way(self, key: str) -> int:
        """How many calls with this key have not returned."""
        return self._under_way[key]

    def call(self, key: str, function: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """Start a call. If it is cancelled before a thread takes it, it is not made; otherwise it runs to its end."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._under_way[key] += 1
        self._queue.put((future, key, function, arguments))
        if self._started < min(self._under_way.total(), self._limit):
            self._started += 1
            threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        return future

    def close(self) -> None:
        """End the idle threads. Does not wait for them."""
        for _ in range(self._started):
            self._queue.put(None)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            future, key, function, arguments = work
            result, error = None, None
            if not future.cancelled():
                try:
                    result = function(*arguments)
                except Exception as raised:  # noqa: BLE001 - the caller gets it from the future
                    error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended: the result is not needed
                self._loop.call_soon_threadsafe(self._finish, future, key, result, error)
            del work, future, function, arguments, result, error  # so that an idle thread keeps no body in memory

    def _finish(self, future: "asyncio.Future[Any]", key: str, result: Any, error: Exception | None) -> None:
        self._under_way[key] -= 1
        if not self._under_way[key]:
            del self._under_way[key]
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


@contextlib.asynccontextmanager
async def open_threads(name: str, limit: int) -> AsyncIterator[Threads]:
    """Threads of the running loop, closed at the end of the block."""
    threads = Threads(name, limit)
    try:
        yield threads
    finally:
        threads.close()
