"""Cancel: pending, running and dead deliveries get no further attempt."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.numeric import Int8

from router.store.changes import DueListener
from router.store.postgres import lanes
from router.store.postgres.arrays import Texts
from router.store.postgres.jobs.delivery_page import DeliveryPage
from router.store.postgres.jobs.job import Finish
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class Cancel(DeliveryPage):
    """Deliveries to cancel."""

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Cancel"]) -> Finish:
        """Cancel each page."""
        answers = []
        for job in jobs:
            ids = sorted(set(job.delivery_ids))
            transaction.run(_LOCK, (Texts(ids),))
            cancelled = transaction.run(_CANCEL, (Texts(ids), Int8(job.now), transaction.writer))
            answers.append((cancelled, lanes.unblock(transaction, ids)))

        def finish(due: DueListener) -> list[list[str]]:
            results = []
            for job, (cancelled, unblocked) in zip(jobs, answers, strict=True):
                done = {id_ for (id_,) in cancelled.all()}
                lanes.report(unblocked, due)
                results.append([id_ for id_ in dict.fromkeys(job.delivery_ids) if id_ in done])
            return results

        return finish


# A claim may be under way. The next statement sees the attempt that it began.
_LOCK = """
SELECT 1 FROM unnest(%b::text[]) AS one (id) JOIN webhook_router.delivery d ON d.id = one.id
ORDER BY d.id FOR UPDATE OF d
"""

_CANCEL = """
WITH cancelled AS (
    UPDATE webhook_router.delivery d SET state = 'cancelled', token = NULL, node = NULL, blocked = 0
    FROM unnest(%b::text[]) AS one (id)
    WHERE d.id = one.id AND d.state IN ('pending', 'running', 'dead')
    RETURNING d.seq, d.id, d.tries
), ended AS (
    UPDATE webhook_router.attempt a SET
        finished_at = greatest(%b, a.started_at), outcome = 'interrupted', error = 'cancelled while it was made'
    FROM cancelled WHERE a.delivery = cancelled.seq AND a.number = cancelled.tries AND a.finished_at IS NULL
    RETURNING a.delivery, a.number
), noted AS (
    INSERT INTO webhook_router.settled (writer, delivery, number) SELECT %b, delivery, number FROM ended
)
SELECT id FROM cancelled
"""
