"""Replay: settled deliveries start again, and waiting ones become due at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.numeric import Int8

from router.store.changes import DueListener
from router.store.postgres.arrays import Texts
from router.store.postgres.jobs.delivery_page import DeliveryPage
from router.store.postgres.jobs.job import Finish
from router.store.postgres.transaction import Rows, Transaction


@dataclass(slots=True)
class Replay(DeliveryPage):
    """Deliveries that start again, or stop waiting for their next try."""

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Replay"]) -> Finish:
        """Replay each page."""
        answers = [cls._page(transaction, job) for job in jobs]

        def finish(due: DueListener) -> list[list[str]]:
            results = []
            for job, rows in zip(jobs, answers, strict=True):
                found = {id_: (target, blocked) for one in rows for id_, target, blocked in one.all()}
                for target, blocked in found.values():
                    if not blocked:
                        due(target, job.now)
                results.append([id_ for id_ in dict.fromkeys(job.delivery_ids) if id_ in found])
            return results

        return finish

    @staticmethod
    def _page(transaction: Transaction, job: "Replay") -> list[Rows]:
        ids = list(dict.fromkeys(job.delivery_ids))
        waiting = transaction.run(_MAKE_DUE, (Int8(job.now), Texts(sorted(ids))))
        again = transaction.run(_START_AGAIN, (Texts(ids), Int8(job.now)))
        return [waiting, again]


_MAKE_DUE = """
UPDATE webhook_router.delivery d SET next_attempt_at = least(d.next_attempt_at, %b)
FROM unnest(%b::text[]) AS one (id)
WHERE d.id = one.id AND d.state = 'pending' AND d.blocked = 0
RETURNING d.id, d.target, d.blocked
"""

# Each delivery takes a place from the sequence, in the given order, while its lane is locked: after everything that was
# planned or replayed before, and before everything that will be.
_START_AGAIN = """
WITH wanted AS MATERIALIZED (
    SELECT one.number, d.seq, d.lane FROM unnest(%b::text[]) WITH ORDINALITY AS one (id, number)
    JOIN webhook_router.delivery d ON d.id = one.id
    WHERE d.state IN ('succeeded', 'dead', 'cancelled', 'skipped')
    ORDER BY one.number FOR UPDATE OF d
), placed AS MATERIALIZED (
    SELECT seq, lane, nextval('webhook_router.delivery_seq_seq') AS place,
        row_number() OVER (PARTITION BY lane ORDER BY number) AS turn
    FROM wanted ORDER BY number
)
UPDATE webhook_router.delivery d SET
    state = 'pending',
    next_attempt_at = %b,
    attempts = 0,
    interruptions = 0,
    first_attempt_at = NULL,
    error = '',
    latest_key = NULL,
    once_key = NULL,
    group_lane = NULL,
    wait_since = NULL,
    skip_reason = NULL,
    skipped_for = NULL,
    place = placed.place,
    blocked = CASE WHEN d.lane IS NULL THEN 0 WHEN placed.turn > 1 THEN 1 ELSE (EXISTS (
        SELECT 1 FROM webhook_router.delivery other
        WHERE other.lane = d.lane AND other.state IN ('pending', 'running') OFFSET 0
    ))::int END
FROM placed
WHERE d.seq = placed.seq AND d.state IN ('succeeded', 'dead', 'cancelled', 'skipped')
RETURNING d.id, d.target, d.blocked
"""
