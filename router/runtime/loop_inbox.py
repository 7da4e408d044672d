"""Calls from other threads to an event loop. Any number of waiting calls wakes the loop once."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from router.runtime.wakeups import wake_up

T = TypeVar("T")


class Inbox:
    """Made in the loop. `call` may be called from any thread, `result` only in the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: deque[Callable[[], None]] = deque()
        self._is_woken = False

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop call a function soon, after the functions of earlier calls."""
        self._calls.append(function)
        if not self._is_woken:
            self._is_woken = True
            wake_up(self._wake)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._run)

    def result(self, future: "Future[T]") -> "asyncio.Future[T]":
        """A future of the loop with the result of another thread's future.

        When it is cancelled, the other thread's work continues and its result is dropped.
        """
        waiting: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(partial(self._done, waiting))
        return waiting

    def _done(self, waiting: "asyncio.Future[Any]", future: "Future[Any]") -> None:
        self.call(partial(_copy_result, waiting, future))

    def _run(self) -> None:
        self._is_woken = False  # first: a call that comes from now on must wake the loop again
        while self._calls:
            self._calls.popleft()()


def _copy_result(waiting: "asyncio.Future[Any]", future: "Future[Any]") -> None:
    if waiting.done():
        return
    error = future.exception()
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(future.result())
