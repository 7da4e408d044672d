"""Keeps notes of the daemon about itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.store.changes import DueListener


@dataclass(slots=True)
class PutNote:
    """A note of the daemon about itself."""

    name: str
    value: str
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PutNote"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Keep the last note of each name."""
        connection.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", [(job.name, job.value) for job in jobs])
        return [None] * len(jobs)
