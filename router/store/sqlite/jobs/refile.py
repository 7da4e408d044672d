"""Refile: a claim is given back without an attempt, under another target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import Claim
from router.store.sqlite.jobs.job import DueListener


@dataclass(slots=True)
class Refile:
    """A claim whose delivery becomes pending again, under this target."""

    claim: Claim
    target: str
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Refile"], due: DueListener) -> list[bool]:
        """Give each claim back; False when its token no longer owns the delivery."""
        return [cls._refile(connection, job, due) for job in jobs]

    @staticmethod
    def _refile(connection: apsw.Connection, job: "Refile", due: DueListener) -> bool:
        rows = connection.execute(_REFILE, (job.target, job.claim.delivery.id, job.claim.token)).fetchall()
        if not rows:
            return False
        seq, at = rows[0]
        connection.execute("DELETE FROM attempt WHERE delivery = ? AND finished_at IS NULL", (seq,))
        due(job.target, int(str(at)))
        return True


_REFILE = """
UPDATE delivery SET state = 'pending', token = NULL, target = ?
WHERE id = ? AND state = 'running' AND token = ?
RETURNING seq, next_attempt_at
"""
