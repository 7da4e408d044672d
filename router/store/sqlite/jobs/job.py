"""The interface of a write: its size in the queue, and how jobs of one kind run together."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import apsw

DueListener = Callable[[str, int], None]
"""Called for each target that got pending, unblocked deliveries, with the time (ms) at which one is due."""


class WriteJob(Protocol):
    """One write."""

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        ...

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence[Any], due: DueListener) -> list[Any]:
        """Run jobs of this kind inside the open transaction; gives a result for each."""
        ...
