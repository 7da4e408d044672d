"""Give back a claim without an attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import Claim
from router.store.sqlite.jobs.job import DueListener


@dataclass(slots=True)
class GiveBack:
    """A claim whose delivery becomes pending again, under another target if one is given."""

    claim: Claim
    target: str | None = None
    held: bool = False  #: its rule or action is disabled
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["GiveBack"], due: DueListener) -> list[bool]:
        """Give each claim back; False when its token no longer owns the delivery."""
        return [cls._give_back(connection, job, due) for job in jobs]

    @staticmethod
    def _give_back(connection: apsw.Connection, job: "GiveBack", due: DueListener) -> bool:
        rows = connection.execute(_RELEASE, (job.target, job.held, job.claim.delivery.id, job.claim.token)).fetchall()
        if not rows:
            return False
        seq, target, at = rows[0]
        connection.execute("DELETE FROM attempt WHERE delivery = ? AND finished_at IS NULL", (seq,))
        if not job.held:
            due(str(target), int(str(at)))
        return True


_RELEASE = """
UPDATE delivery SET
    state = 'pending', token = NULL, target = coalesce(?, target), blocked = CASE WHEN ? THEN 2 ELSE 0 END
WHERE id = ? AND state = 'running' AND token = ?
RETURNING seq, target, next_attempt_at
"""
