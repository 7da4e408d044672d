"""Claim: due deliveries become running, each with a token and a started attempt."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import Claim
from router.store.changes import DueListener
from router.store.sqlite.jobs import last_claims
from router.store.sqlite.jobs.many_rows import write_rows
from router.store.sqlite.rows import DUE_NOW, claimed_row


@dataclass(slots=True)
class ClaimDue:
    """A claim of due deliveries."""

    wanted: Mapping[str, int]
    now: int
    recorded: frozenset[str] = frozenset()
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["ClaimDue"], due: DueListener) -> list[list[Claim]]:
        """Claim for each job."""
        return [cls._claim(connection, job, due) for job in jobs]

    @staticmethod
    def _claim(connection: apsw.Connection, job: "ClaimDue", due: DueListener) -> list[Claim]:
        found = [
            row
            for target, count in job.wanted.items()
            if count > 0
            for row in connection.execute(DUE_NOW, (target, job.now, count)).fetchall()
        ]
        if not found:
            return []
        # one token for the whole claim; token and delivery id together prove the ownership
        token = secrets.token_hex(16)
        claims = [claimed_row(row, token, due) for row in found]
        start_attempts(connection, claims, job.now)
        if job.recorded:
            last_claims.note(connection, {claim.delivery.target for claim in claims} & job.recorded, job.now)
        return sorted(claims, key=lambda claim: (claim.delivery.next_attempt_at, claim.delivery.seq))


def start_attempts(connection: apsw.Connection, claims: Sequence[Claim], now: int) -> None:
    """Mark these deliveries as running from `now` (ms) on."""
    # By seq, since a subquery's temporary tables would cost more than everything else. Nothing is read back.
    write_rows(connection, _CLAIM, [(claim.delivery.seq, claim.token) for claim in claims])
    write_rows(connection, _START_ATTEMPTS, [(claim.delivery.seq, claim.attempt, now) for claim in claims])


_CLAIM = """
WITH due (seq, token) AS (VALUES {})
UPDATE delivery SET state = 'running', token = due.token
FROM due WHERE delivery.seq = due.seq AND delivery.state = 'pending'
"""

_START_ATTEMPTS = """
INSERT INTO attempt (delivery, number, started_at) SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL
"""
