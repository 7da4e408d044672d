"""Tidy: removes rows that are no longer needed, now and then, even if events are kept for ever."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.numeric import Int8

from router.store import limits
from router.store.postgres.jobs.job import Finish, Simple, none_for
from router.store.postgres.transaction import Transaction

AT_ONCE = 5000  #: rows of each kind; more than arrive between two runs


@dataclass(slots=True)
class Tidy(Simple):
    """One run, by the writer itself."""

    order = 8

    received_at: int  #: ms; of a recent event

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Tidy"]) -> Finish:
        """Remove dedupe keys whose window is over, and ends of attempts that no follower can go back to."""
        for job in jobs:
            transaction.run(_FORGET_KEYS, (Int8(job.received_at), AT_ONCE))
            transaction.run(_FORGET_ENDS, (limits.KEPT_ENDS, AT_ONCE))
        return none_for(jobs)


# A key that an append has locked is left for the next time.
_FORGET_KEYS = """
DELETE FROM webhook_router.dedupe WHERE digest IN (
    SELECT digest FROM webhook_router.dedupe WHERE expires_at <= %b
    ORDER BY expires_at LIMIT %s::int FOR UPDATE SKIP LOCKED
)
"""

_FORGET_ENDS = """
WITH RECURSIVE w (writer) AS (
    SELECT min(writer) FROM webhook_router.settled
    UNION ALL
    SELECT (SELECT min(writer) FROM webhook_router.settled WHERE writer > w.writer) FROM w WHERE w.writer IS NOT NULL
), given (kept, most) AS (VALUES (%s::bigint, %s::int)), old AS MATERIALIZED (
    SELECT w.writer, found.seq FROM given, w CROSS JOIN LATERAL (
        SELECT seq FROM webhook_router.settled
        WHERE writer = w.writer AND seq <= (SELECT last_value FROM webhook_router.settled_seq_seq) - given.kept
        ORDER BY seq LIMIT given.most
    ) AS found WHERE w.writer IS NOT NULL
)
DELETE FROM webhook_router.settled s USING old WHERE s.writer = old.writer AND s.seq = old.seq
"""
