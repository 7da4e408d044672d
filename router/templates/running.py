"""Where a rendering runs: beside other work when it is short, else in a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, TypeVar

from router.domain.errors import RenderError
from router.templates.work import NeedsThread, Work

MOST_WAITING = (
    3  #: answers that wait for the thread: each takes a second at most, rests included, a sender waits for 10
)

T = TypeVar("T")
_PLAIN: dict[str, bool] = {}
_INLINE = {"inline": True}
_RESTS = {"rests": True}
_manner: ContextVar[dict[str, bool]] = ContextVar("manner", default=_PLAIN)


def new_work(body: int) -> Work:
    """The bounds of a rendering that begins here; `body` is the size of the event's body in bytes."""
    return Work(body, **_manner.get())


def inline(render: Callable[..., T], *arguments: Any) -> T:
    """Render with no more work than a loop has time for. Raises NeedsThread when that isn't enough."""
    token = _manner.set(_INLINE)
    try:
        return render(*arguments)
    finally:
        _manner.reset(token)


async def rendered(render: Callable[..., T], *arguments: Any) -> T:
    """Render at once what is short, and in a thread what is not; a rendering changes nothing, so it can be repeated."""
    try:
        return inline(render, *arguments)
    except NeedsThread:
        return await asyncio.wrap_future(DELIVERIES.submit(render, *arguments))


class RenderThread:
    """One thread that renders in turn, and leaves most of the interpreter to others. Any thread may call it."""

    def __init__(self, name: str, most_waiting: int | None = None) -> None:
        self._name = name
        self._most_waiting = most_waiting
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, render: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Render when its turn comes. The future has a RenderError when too many wait already."""
        future: Future[T] = Future()
        if self._most_waiting is not None and self._queue.qsize() >= self._most_waiting:
            future.set_exception(RenderError("too many renderings wait already"))
            return future
        self._queue.put((future, render, arguments))
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # also in a process that was forked
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        return future

    def _work(self) -> None:
        _manner.set(_RESTS)
        while True:
            future, render, arguments = self._queue.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(render(*arguments))
                except Exception as error:  # noqa: BLE001 - it is the caller's, who gets it from the future
                    future.set_exception(error)
            del future, render, arguments  # an idle thread holds no body in memory


DELIVERIES = RenderThread("render")
ANSWERS = RenderThread("answer", MOST_WAITING)
