"""Claim: due deliveries become running, each with a token and a started attempt."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg.types.numeric import Int8

from router.domain.deliveries import Claim
from router.store.changes import DueListener
from router.store.postgres.arrays import Numbers, Texts, stored
from router.store.postgres.clock import NOW
from router.store.postgres.jobs.job import Finish, Simple
from router.store.postgres.rows import DELIVERY_COLUMNS, EVENT_COLUMNS, claimed_row
from router.store.postgres.transaction import Rows, Transaction

FROM_THE_START = -(2**62)  #: a mark below every time


@dataclass(slots=True)
class ClaimDue(Simple):
    """A claim of due deliveries."""

    order = 9  # last, so that it sees what the others made due

    wanted: Mapping[str, int]
    now: int
    recorded: frozenset[str] = frozenset()
    marks: Mapping[str, int] = field(default_factory=dict)  #: by target: no delivery is due before this time
    token: str = field(default_factory=lambda: secrets.token_hex(16))  #: with the delivery's id it proves the ownership

    def renew(self) -> None:
        """Claim with a new token, after a commit whose answer was lost. What that commit may have claimed has the old
        token."""
        self.token = secrets.token_hex(16)

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["ClaimDue"]) -> Finish:
        """Claim for each job."""
        answers = [cls._claim(transaction, job) for job in jobs]

        def finish(_: DueListener) -> list[list[Claim]]:
            return [
                [claimed_row(row, job.token) for row in rows.all()] for job, rows in zip(jobs, answers, strict=True)
            ]

        return finish

    @staticmethod
    def _claim(transaction: Transaction, job: "ClaimDue") -> Rows:
        wanted = [(target, count) for target, count in sorted(job.wanted.items()) if count > 0]
        targets = [target for target, _ in wanted]
        values = (
            transaction.node,
            Texts(targets),
            Numbers(count for _, count in wanted),
            Numbers(job.marks.get(target, FROM_THE_START) for target in targets),
            Int8(job.now),
            stored(job.token),
            transaction.node,
            Int8(job.now),
        )
        if not job.recorded:
            return transaction.run(CLAIM, values)
        return transaction.run(_CLAIM_AND_RECORD, (*values, Int8(job.now), Texts(sorted(job.recorded))))


# A frozen node may claim after others have taken over its work.
THIS_NODE_LIVES = f"""
    SELECT one.id = 0 OR EXISTS (
        SELECT 1 FROM webhook_router.node n WHERE n.id = one.id AND n.expires_at > {NOW}
    ) AS lives FROM (VALUES (%b)) AS one (id)
"""  # noqa: S608 - constants

# From the mark on: the index keeps dead entries of earlier claims as long as somebody holds an old snapshot, and a walk
# past them makes a claim ten times slower.
_CLAIM = f"""
WITH me AS ({THIS_NODE_LIVES}), due AS MATERIALIZED (
    SELECT found.seq FROM unnest(%b::text[], %b::bigint[], %b::bigint[]) AS wanted (target, number, mark)
    CROSS JOIN LATERAL (
        SELECT d.seq FROM webhook_router.delivery d
        WHERE d.target = wanted.target AND d.state = 'pending' AND d.blocked = 0
            AND d.next_attempt_at >= wanted.mark AND d.next_attempt_at <= %b AND (SELECT lives FROM me)
        ORDER BY d.next_attempt_at, d.seq LIMIT wanted.number FOR UPDATE SKIP LOCKED
    ) AS found
), d AS (
    UPDATE webhook_router.delivery claimed SET state = 'running', token = %b, node = %b, tries = tries + 1
    FROM due WHERE claimed.seq = due.seq
    RETURNING claimed.*
), started AS (
    INSERT INTO webhook_router.attempt (delivery, number, started_at) SELECT seq, tries, %b FROM d
){{recorded}}
SELECT {EVENT_COLUMNS}, {DELIVERY_COLUMNS}, d.tries
FROM d JOIN webhook_router.event e ON e.seq = d.event
ORDER BY d.next_attempt_at, d.seq
"""  # noqa: S608 - constants

# When these targets were last claimed for.
RECORDED = """, recorded AS (
    INSERT INTO webhook_router.target AS t (name, last_claim_at)
    SELECT DISTINCT d.target, %b::bigint FROM d WHERE d.state = 'running' AND d.target = ANY (%b::text[]) ORDER BY 1
    ON CONFLICT (name) DO UPDATE SET last_claim_at = excluded.last_claim_at
)"""
CLAIM, _CLAIM_AND_RECORD = _CLAIM.format(recorded=""), _CLAIM.format(recorded=RECORDED)
