"""Give back a claim without an attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import Claim
from router.store.changes import DueListener
from router.store.sqlite.jobs.groups import after_attempt


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
        owned = (job.claim.delivery.id, job.claim.token)
        # first: a delivery that is then skipped must have no attempt under way
        connection.execute(_REMOVE_ATTEMPT, owned)
        rows = connection.execute(_RELEASE, (job.target, job.held, *owned)).fetchall()
        if not rows:
            return False
        seq, target, at, rule, action, latest_key = rows[0]
        if latest_key is not None and after_attempt(connection, seq, (rule, action, latest_key), due):
            return True
        if not job.held:
            due(str(target), int(str(at)))
        return True


_REMOVE_ATTEMPT = """
DELETE FROM attempt WHERE finished_at IS NULL
    AND delivery = (SELECT seq FROM delivery WHERE id = ? AND state = 'running' AND token = ?)
"""


_RELEASE = """
UPDATE delivery SET
    state = 'pending', token = NULL, target = coalesce(?, target), blocked = CASE WHEN ? THEN 2 ELSE 0 END
WHERE id = ? AND state = 'running' AND token = ?
RETURNING seq, target, next_attempt_at, rule, action, latest_key
"""
