"""The interface of a write: its size in the queue, and how jobs of one kind run together."""

from collections.abc import Sequence
from typing import Any, Protocol

import apsw

from router.domain.groups import Skipped


class DueListener(Protocol):
    """Hears what a job changed that others wait for."""

    def __call__(self, target: str, at: int, /) -> None:
        """A target got pending, unblocked deliveries; one is due at that time (ms)."""
        ...

    def skipped(self, delivery: Skipped) -> None:
        """A delivery became skipped."""
        ...


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
