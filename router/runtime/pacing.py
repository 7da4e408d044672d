"""Keeps requests fast while a large rules file is loaded.

A load makes millions of objects that stay. The garbage collector would walk them again and again (two thirds of the
time of loading 10,000 rules), and later in each full collection, while every request waits. So the collector pauses
during a load, and the loaded objects are then frozen: it skips them.

A reload also competes with requests for the interpreter's lock, which each request takes some ten times. So a reload
works in slices, and between them it sleeps for most of the time while requests are under way.
"""

import contextlib
import gc
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

_T = TypeVar("_T")

GC_THRESHOLD = (20_000, 50, 100)  #: objects and rounds; Python's 700 objects are a tenth of one large payload
SLICE_SECONDS = 0.001  #: of work between two checks whether requests wait
RESTED = 4  #: a load with its rests, or on a busy machine, may take this many times its working time
REST_SECONDS = 0.003  #: of rest after a slice while requests are under way: they keep three quarters of the interpreter


class _Uncollected:
    """A context in which the collector pauses; loads may overlap in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._was_on = gc.isenabled()
                gc.disable()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._was_on:
                gc.enable()


GC_PAUSED = _Uncollected()


class TooLong(Exception):
    """A load has used up its time."""


class _Pace:
    """The slices of one load."""

    def __init__(self, busy: Callable[[], bool], seconds: float) -> None:
        self._busy = busy
        self._until = time.thread_time() + seconds
        self._until_at_last = time.monotonic() + RESTED * seconds
        self._slice_ends = time.perf_counter() + SLICE_SECONDS

    def step(self) -> None:
        if time.perf_counter() < self._slice_ends:
            return
        if time.thread_time() > self._until or time.monotonic() > self._until_at_last:
            raise TooLong
        # Even a sleep of 0 s gives the interpreter to a waiting thread.
        time.sleep(REST_SECONDS if self._busy() else 0)
        self._slice_ends = time.perf_counter() + SLICE_SECONDS


_PACE: ContextVar[_Pace | None] = ContextVar("pace", default=None)


@contextlib.contextmanager
def resting_while_busy(busy: Callable[[], bool], *, seconds: float = math.inf) -> Iterator[None]:
    """Within the block, `yield_turn` sleeps while others are busy.

    Raises TooLong after this many seconds of work, or after `RESTED` times as long in all.
    """
    token = _PACE.set(_Pace(busy, seconds))
    try:
        yield
    finally:
        _PACE.reset(token)


def yield_turn() -> None:
    """Called between small steps of a load. Sleeps at the end of a slice."""
    pace = _PACE.get()
    if pace is not None:
        pace.step()


def paced(items: Iterable[_T]) -> Iterator[_T]:
    """The items, with `yield_turn` before each."""
    for item in items:
        yield_turn()
        yield item


def let_go(parts: list[Any]) -> None:
    """Free the items of a list one by one, since freeing a large object at once would stop all threads."""
    while parts:
        parts.pop()
        yield_turn()


def freeze_garbage() -> None:
    """Make the garbage collector skip all objects that exist now."""
    gc.unfreeze()
    gc.freeze()
