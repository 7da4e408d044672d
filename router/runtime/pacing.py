"""Keeps a large load from being felt by the requests that are answered meanwhile.

A load makes millions of objects that stay. The garbage collector would walk all of them again and again meanwhile (two
thirds of the time of loading 10,000 rules), and once more whenever it looks at its oldest generation later on, with
every request waiting. So it pauses during a load, and what was loaded is set aside from its rounds.

A reload also competes for the interpreter with every request, each of which asks for it some ten times. So it works in
slices, and while requests are under way it rests between them for most of the time.
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

SLICE_SECONDS = 0.001  #: of work, before a look at whether somebody waits
RESTED = 4  #: times as long as its work a load may take with its rests, and on a machine that is busy otherwise
REST_SECONDS = 0.003  #: after a slice while requests are under way: they keep three quarters of the interpreter


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
    """A load has worked for as long as it may."""


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
        # Even a rest of no length hands the interpreter to whoever waits for it.
        time.sleep(REST_SECONDS if self._busy() else 0)
        self._slice_ends = time.perf_counter() + SLICE_SECONDS


_PACE: ContextVar[_Pace | None] = ContextVar("pace", default=None)


@contextlib.contextmanager
def resting_while_busy(busy: Callable[[], bool], *, seconds: float = math.inf) -> Iterator[None]:
    """Within it, this thread's work rests at each `breathe` as long as the others are busy. Once it has worked for some
    seconds, or `RESTED` times as long has passed, `breathe` raises TooLong."""
    token = _PACE.set(_Pace(busy, seconds))
    try:
        yield
    finally:
        _PACE.reset(token)


def yield_turn() -> None:
    """Called between small steps of a load: rests when it is time to."""
    pace = _PACE.get()
    if pace is not None:
        pace.step()


def paced(items: Iterable[_T]) -> Iterator[_T]:
    """The items, with a breath before each."""
    for item in items:
        yield_turn()
        yield item


def let_go(parts: list[Any]) -> None:
    """Free what a list holds, piece by piece: the last reference to a large thing would free all of it in one go."""
    while parts:
        parts.pop()
        yield_turn()


def freeze_garbage() -> None:
    """Take everything that lives now out of the collector's rounds; a reload gives what has died back to it first."""
    gc.unfreeze()
    gc.freeze()
