"""Where a rendering runs: in the event loop if it is short, otherwise in a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, TypeVar

from router.domain.errors import RenderError
from router.templates.budget import NeedsThread, RenderBudget

MOST_WAITING = 3  #: answers that may wait for the thread; each takes a second at most, and senders wait for 10

T = TypeVar("T")
_DEFAULT_MODE: dict[str, bool] = {}
_INLINE_MODE = {"inline": True}
_THREAD_MODE = {"rests": True}
_mode: ContextVar[dict[str, bool]] = ContextVar("mode", default=_DEFAULT_MODE)


def new_budget(body_size: int) -> RenderBudget:
    """The budget of a rendering that begins here. `body_size` is the size of the event's body in bytes."""
    return RenderBudget(body_size, **_mode.get())


def render_inline(render: Callable[..., T], *arguments: Any) -> T:
    """Render within the budget of an event loop. Raises NeedsThread when that is too small."""
    token = _mode.set(_INLINE_MODE)
    try:
        return render(*arguments)
    finally:
        _mode.reset(token)


async def render_without_blocking(render: Callable[..., T], *arguments: Any) -> T:
    """Render in the event loop, or again in a thread if that takes too long. A rendering has no side effects."""
    try:
        return render_inline(render, *arguments)
    except NeedsThread:
        return await asyncio.wrap_future(DELIVERY_THREAD.submit(render, *arguments))


class RenderThread:
    """A thread that renders one template after the other and rests for other threads. Any thread may call it."""

    def __init__(self, name: str, most_waiting: int | None = None) -> None:
        self._name = name
        self._most_waiting = most_waiting
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, render: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Queue a rendering. The future fails with RenderError when too many are waiting."""
        future: Future[T] = Future()
        if self._most_waiting is not None and self._queue.qsize() >= self._most_waiting:
            future.set_exception(RenderError("too many renderings wait already"))
            return future
        self._queue.put((future, render, arguments))
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a forked process has no thread either
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        return future

    def _work(self) -> None:
        _mode.set(_THREAD_MODE)
        while True:
            future, render, arguments = self._queue.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(render(*arguments))
                except Exception as error:  # noqa: BLE001 - the caller gets it from the future
                    future.set_exception(error)
            del future, render, arguments  # so that an idle thread keeps no body in memory


DELIVERY_THREAD = RenderThread("render")
ANSWER_THREAD = RenderThread("answer", MOST_WAITING)
