"""Writes one piece of a large body, before the event that refers to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.store.changes import DueListener


@dataclass(slots=True)
class PutPiece:
    """One piece. Its event's id counts as unreferenced until the event is appended."""

    event_id: str
    number: int  #: from 0
    data: bytes
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PutPiece"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Write each."""
        for job in jobs:
            if job.number == 0:
                connection.execute("INSERT INTO unreferenced (event) VALUES (?)", (job.event_id,))
            connection.execute("INSERT INTO piece VALUES (?, ?, ?)", (job.event_id, job.number, job.data))
        return [None] * len(jobs)


def refer(connection: apsw.Connection, event_ids: Sequence[str]) -> None:
    """Make these events the owners of their pieces. Raises ValueError when the pieces of one are gone."""
    for event_id in event_ids:
        connection.execute("DELETE FROM unreferenced WHERE event = ?", (event_id,))
        if not connection.changes():
            raise ValueError("the pieces of its body are gone")
