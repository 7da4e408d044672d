"""The index of ranges of numbers: finds those that contain a number."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from router.rules.match.index_values import RuleNumbers
from router.runtime.pacing import yield_turn


class _AfterAll(str):
    """Stands for a text that comes after every other."""

    __slots__ = ()

    def __lt__(self, _: str) -> bool:
        return False

    def __le__(self, other: str) -> bool:
        return other is self

    def __gt__(self, other: str) -> bool:
        return other is not self

    def __ge__(self, _: str) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return other is self

    def __hash__(self) -> int:
        return id(self)


AFTER_ALL = _AfterAll()
_INFINITY = float("inf")
_OPEN_ENDS = (-_INFINITY, _INFINITY, "", AFTER_ALL)


class Ranges:
    """Closed intervals as a tree: each node has the intervals that contain its centre, sorted by both ends."""

    __slots__ = ("by_high", "by_low", "centre", "highs", "left", "lows", "right")

    def __init__(
        self, entries: Sequence[tuple[tuple[Any, Any], int]], least: Any = -_INFINITY, most: Any = _INFINITY
    ) -> None:
        """Intervals with the numbers of their rules; `least` and `most` stand for an end that is left out."""
        ends = [(least if a is None else a, most if b is None else b, n) for (a, b), n in entries]
        self.build([(low, high, number) for low, high, number in ends if low <= high])  # the others contain no number

    def build(self, intervals: list[tuple[Any, Any, int]]) -> None:
        yield_turn()
        ends = sorted(end for low, high, _ in intervals for end in (low, high) if end not in _OPEN_ENDS)
        self.centre: Any = ends[len(ends) // 2] if ends else intervals[0][0] if intervals else 0
        around = [entry for entry in intervals if entry[0] <= self.centre <= entry[1]]
        by_low, by_high = sorted(around, key=lambda e: e[0]), sorted(around, key=lambda e: e[1])
        self.lows, self.by_low = [e[0] for e in by_low], [e[2] for e in by_low]
        self.highs, self.by_high = [e[1] for e in by_high], [e[2] for e in by_high]
        self.left = self._side([entry for entry in intervals if entry[1] < self.centre])
        self.right = self._side([entry for entry in intervals if entry[0] > self.centre])

    @staticmethod
    def _side(intervals: list[tuple[Any, Any, int]]) -> "Ranges | None":
        if not intervals:
            return None
        side = Ranges.__new__(Ranges)
        side.build(intervals)
        return side

    def look_up(self, value: Any, found: RuleNumbers) -> None:
        """Add the rules whose interval contains the number."""
        node: Ranges | None = self
        while node is not None:
            if value < node.centre:
                found += node.by_low[: bisect_right(node.lows, value)]
                node = node.left
            elif value > node.centre:
                found += node.by_high[bisect_left(node.highs, value) :]
                node = node.right
            else:
                found += node.by_low
                return
