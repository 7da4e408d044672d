"""Claims one delivery that an append reserved, or ends the reservation."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg.types.numeric import Int8

from router.domain.deliveries import Claim
from router.store.changes import DueListener
from router.store.postgres.arrays import Texts, stored
from router.store.postgres.jobs.claim import RECORDED, THIS_NODE_LIVES
from router.store.postgres.jobs.job import Finish, Simple
from router.store.postgres.rows import DELIVERY_COLUMNS, EVENT_COLUMNS, claimed_row
from router.store.postgres.transaction import Rows, Transaction


@dataclass(slots=True)
class ClaimOne(Simple):
    """A claim of one delivery."""

    order = 7

    delivery_id: str
    now: int
    recorded: frozenset[str]
    token: str = field(default_factory=lambda: secrets.token_hex(16))  #: with the delivery's id it proves the ownership

    def renew(self) -> None:
        """See ClaimDue.renew."""
        self.token = secrets.token_hex(16)

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["ClaimOne"]) -> Finish:
        """Claim for each job."""
        answers = [cls._claim(transaction, job) for job in jobs]

        def finish(_: DueListener) -> list[Claim | None]:
            return [
                next((claimed_row(row, job.token) for row in rows.all()), None)
                for job, rows in zip(jobs, answers, strict=True)
            ]

        return finish

    @staticmethod
    def _claim(transaction: Transaction, job: "ClaimOne") -> Rows:
        now, token = Int8(job.now), stored(job.token)
        values = (transaction.node, now, token, transaction.node, job.delivery_id, now)
        if not job.recorded:
            return transaction.run(_CLAIM_ONE, values)
        return transaction.run(_CLAIM_ONE_AND_RECORD, (*values, now, Texts(sorted(job.recorded))))


@dataclass(slots=True)
class Unreserve(Simple):
    """A delivery whose reservation ends."""

    order = 6

    delivery_id: str
    now: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Unreserve"]) -> Finish:
        """Make each delivery due if it is pending."""
        answers = [transaction.run(_MAKE_DUE, (Int8(job.now), job.delivery_id)) for job in jobs]

        def finish(due: DueListener) -> list[None]:
            for job, rows in zip(jobs, answers, strict=True):
                for target, blocked in rows.all():
                    if not blocked:
                        due(target, job.now)
            return [None] * len(jobs)

        return finish


# A delivery that can't be claimed becomes due at once.
_CLAIM = f"""
WITH me AS ({THIS_NODE_LIVES}), given (now, token, node) AS (VALUES (%b::bigint, %b::text, %b::bigint)), d AS (
    UPDATE webhook_router.delivery one SET
        next_attempt_at = given.now,
        state = CASE WHEN me.lives AND one.blocked = 0 THEN 'running' ELSE one.state END,
        token = CASE WHEN me.lives AND one.blocked = 0 THEN given.token ELSE one.token END,
        node = CASE WHEN me.lives AND one.blocked = 0 THEN given.node ELSE one.node END,
        tries = one.tries + CASE WHEN me.lives AND one.blocked = 0 THEN 1 ELSE 0 END
    FROM me, given WHERE one.id = %b AND one.state || '' = 'pending'
    RETURNING one.*
), started AS (
    INSERT INTO webhook_router.attempt (delivery, number, started_at) SELECT seq, tries, %b FROM d
    WHERE d.state = 'running'
){{recorded}}
SELECT {EVENT_COLUMNS}, {DELIVERY_COLUMNS}, d.tries
FROM d JOIN webhook_router.event e ON e.seq = d.event WHERE d.state = 'running'
"""  # noqa: S608 - constants
_CLAIM_ONE, _CLAIM_ONE_AND_RECORD = _CLAIM.format(recorded=""), _CLAIM.format(recorded=RECORDED)

_MAKE_DUE = """
UPDATE webhook_router.delivery SET next_attempt_at = %b WHERE id = %b AND state || '' = 'pending'
RETURNING target, blocked
"""
