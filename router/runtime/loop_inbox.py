"""What other threads tell the delivery loop: however much is said before it listens, it is woken once."""

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
    """Made in the loop, which `result` belongs to; `say` may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._said: deque[Callable[[], None]] = deque()
        self._woken = False

    def say(self, function: Callable[[], None]) -> None:
        """Have the loop call a function soon, after those that were said before."""
        self._said.append(function)
        if not self._woken:
            self._woken = True
            wake_up(self._wake)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already: there is nothing left to tell it
            self._loop.call_soon_threadsafe(self._listen)

    def result(self, future: "Future[T]") -> "asyncio.Future[T]":
        """What another thread's future becomes, for the loop to wait for.

        Whoever waits may be cancelled: the other thread's work goes on, and what comes of it is dropped.
        """
        waiting: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(partial(self._done, waiting))
        return waiting

    def _done(self, waiting: "asyncio.Future[Any]", future: "Future[Any]") -> None:
        self.say(partial(_hand_over, waiting, future))

    def _listen(self) -> None:
        self._woken = False  # before listening: what is said from now on may find the inbox empty already
        while self._said:
            self._said.popleft()()


def _hand_over(waiting: "asyncio.Future[Any]", future: "Future[Any]") -> None:
    if waiting.done():
        return
    error = future.exception()
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(future.result())
