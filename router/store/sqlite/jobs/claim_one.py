"""Claims one delivery that an append reserved, or ends the reservation."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import Claim
from router.store.changes import DueListener
from router.store.sqlite.jobs import last_claims
from router.store.sqlite.jobs.claim import start_attempts
from router.store.sqlite.rows import DUE_ONE, claimed_row


@dataclass(slots=True)
class ClaimOne:
    """A claim of one delivery."""

    delivery_id: str
    now: int
    recorded: frozenset[str]
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["ClaimOne"], due: DueListener) -> list[Claim | None]:
        """Claim for each job."""
        return [cls._claim(connection, job, due) for job in jobs]

    @staticmethod
    def _claim(connection: apsw.Connection, job: "ClaimOne", due: DueListener) -> Claim | None:
        connection.execute(_MAKE_DUE, (job.now, job.delivery_id)).fetchall()
        rows = connection.execute(DUE_ONE, (job.delivery_id,)).fetchall()
        if not rows:
            return None
        claim = claimed_row(rows[0], secrets.token_hex(16), due)
        start_attempts(connection, [claim], job.now)
        if job.recorded:
            last_claims.note(connection, {claim.delivery.target} & job.recorded, job.now)
        return claim


@dataclass(slots=True)
class Unreserve:
    """A delivery whose reservation ends."""

    delivery_id: str
    now: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Unreserve"], due: DueListener) -> list[None]:
        """Make each delivery due if it is pending."""
        for job in jobs:
            for target, blocked in connection.execute(_MAKE_DUE, (job.now, job.delivery_id)).fetchall():
                if not blocked:
                    due(str(target), job.now)
        return [None] * len(jobs)


_MAKE_DUE = "UPDATE delivery SET next_attempt_at = ? WHERE id = ? AND state = 'pending' RETURNING target, blocked"
