"""What the writer asks of its jobs: each runs inside the batch's transaction, several of a kind together."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import apsw

DueNote = Callable[[str, int], None]
"""Told of each target that got pending, unblocked work, and when it is due."""


class WriteJob(Protocol):
    """One thing to write."""

    @property
    def weight(self) -> int:
        """About how many bytes wait with this job."""
        ...

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence[Any], due: DueNote) -> list[Any]:
        """Write jobs of this kind; a result for each."""
        ...
