"""Removes the pieces of bodies that no event refers to, in small steps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.store.changes import DueListener

_AT_ONCE = 4  #: pieces (1 MB) that one step removes, in some 2 ms


@dataclass(slots=True)
class RemovePieces:
    """One step."""

    event_id: str
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["RemovePieces"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Remove some pieces of each body. The last step also removes its id from the unreferenced ones."""
        for job in jobs:
            connection.execute(_REMOVE, (job.event_id, _AT_ONCE))
            connection.execute(_FORGET, (job.event_id,))
        return [None] * len(jobs)


def unreferenced(connection: apsw.Connection, being_written: Collection[str]) -> str | None:
    """An id whose pieces can be removed; None when there is none."""
    for (event_id,) in connection.execute(_FIND, (len(being_written) + 1,)).fetchall():
        if event_id not in being_written:
            return str(event_id)
    return None


_FIND = "SELECT event FROM unreferenced LIMIT ?"
# From the end, so that the rest of a body is always its beginning.
_REMOVE = """
DELETE FROM piece WHERE rowid IN (SELECT rowid FROM piece WHERE event = ? ORDER BY number DESC LIMIT ?)
"""
_FORGET = "DELETE FROM unreferenced WHERE event = ?1 AND NOT EXISTS (SELECT 1 FROM piece WHERE event = ?1)"
