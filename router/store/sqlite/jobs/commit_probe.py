"""A write that finds out whether commits work again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.store.changes import DueListener


@dataclass(slots=True)
class CommitProbe:
    """A row of `room` bytes, or the removal of that row (0)."""

    room: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["CommitProbe"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Write or remove the row. It is an expired dedupe key that no source can have."""
        for job in jobs:
            if job.room:
                connection.execute(_WRITE, (job.room // 2,))
            else:
                connection.execute("DELETE FROM dedupe WHERE source = '' AND key = ''")
        return [None] * len(jobs)


_WRITE = "INSERT OR REPLACE INTO dedupe VALUES ('', '', hex(zeroblob(?)), 0, 0)"
