"""The interface of a write: its size in the queue, and how jobs of one kind run together."""

from collections.abc import Sequence
from typing import Any, Protocol

import apsw

from router.store.changes import DueListener
from router.store.write_queue import QueuedJob


class WriteJob(QueuedJob, Protocol):
    """One write."""

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence[Any], due: DueListener) -> list[Any]:
        """Run jobs of this kind inside the open transaction. Returns a result for each."""
        ...
