"""Long work in portions: how much of it one run does, and where the next run continues."""

from collections.abc import Callable
from typing import NamedTuple


class ScanPosition(NamedTuple):
    """How far a run over the rows of a filter has come."""

    after: int = 0  #: seq of the last row that was visited; 0: none yet
    last: int = 0  #: seq of the newest row when the run began; 0: unknown


class WorkLimit(NamedTuple):
    """How much one run does."""

    items: int | None = None  #: None: all of them
    is_over: Callable[[], bool] = lambda: False  #: true when the time is over or the daemon stops

    def reached(self, count: int) -> bool:
        """Whether the rest is left for another run."""
        return (self.items is not None and count >= self.items) or self.is_over()


NO_LIMIT = WorkLimit()
