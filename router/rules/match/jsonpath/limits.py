"""Limits the work of following a path in a payload.

A path without filters looks at each value of the payload at most once for each of its segments. A filter with a path
of its own, or an `elem`, may look at the same values again for every item. So each look at a value counts as one step,
and a path that needs more steps than the limit raises EvaluationError.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from router.domain.errors import EvaluationError

FREE_STEPS = 50_000  #: in any payload, some 5 ms; a path over a real payload of 10 kB takes a few thousand
ITEM_STEPS = 4  #: counted for each item that `elem` judges, besides its paths; some 2 µs
CHARACTERS = 64  #: of a text that count as one value, since splitting them takes about as long

T = TypeVar("T")


class Work:
    """Counts the steps of one path, or of all paths of one condition.

    The limit is FREE_STEPS, plus the number of values in the payload for each segment of each path.
    """

    __slots__ = ("_left", "_paths", "_payload", "_segments", "_size")

    def __init__(self, payload: Any) -> None:
        self._payload = payload
        self._left = FREE_STEPS
        self._paths: set[object] = set()
        self._segments = 0
        self._size: int | None = None  #: None until the free steps are used up

    def enter(self, path: object, segments: int) -> None:
        """Begin a path; the first time, its segments raise the limit."""
        if path in self._paths:
            return
        self._paths.add(path)
        if self._size is None:
            self._segments += segments
        else:
            self._left += self._size * segments

    def add(self, steps: int) -> None:
        """Count steps. Raises EvaluationError above the limit."""
        self._left -= steps
        if self._left < 0:
            self._extend()

    def _extend(self) -> None:
        if self._size is None:
            self._size = size_of(self._payload)
            self._left += self._size * self._segments
        if self._left < 0:
            raise EvaluationError("the path needs too many steps in this payload: it looks at the same values again")


class _Shared(threading.local):
    work: Work | None = None


_shared = _Shared()


def current_work(payload: Any) -> Work:
    """The counter of the condition that is being judged, or a new one."""
    return _shared.work or Work(payload)


def sharing_work(payload: Any, judge: Callable[[], T]) -> T:
    """Judge a condition whose paths share one counter, such as one with `elem`, where paths start again at each
    item."""
    if _shared.work is not None:
        return judge()
    _shared.work = Work(payload)
    try:
        return judge()
    finally:
        _shared.work = None


def count_item(condition: object) -> None:
    """Count that the condition of an `elem` is judged for one more item."""
    work = _shared.work
    if work is not None:
        work.enter(condition, ITEM_STEPS)
        work.add(ITEM_STEPS)


def size_of(payload: Any) -> int:
    """The number of values in a payload; a long text counts as several."""
    stack, count = [payload], 1
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind is list:
            count += len(value)
            stack += value
        elif kind is dict:
            count += len(value)
            stack += value.values()
        elif kind is str:
            count += len(value) // CHARACTERS
    return count
