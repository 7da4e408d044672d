"""Cancel: pending, running and dead deliveries get no further attempt."""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from router.store.changes import DueListener
from router.store.sqlite.jobs.delivery_page import DeliveryPage
from router.store.sqlite.jobs.groups import after_attempt
from router.store.sqlite.jobs.order import report_first


@dataclass(slots=True)
class Cancel(DeliveryPage):
    """Deliveries to cancel."""

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Cancel"], due: DueListener) -> list[list[str]]:
        """Cancel each page."""
        return [cls._page(connection, job, due) for job in jobs]

    @staticmethod
    def _page(connection: apsw.Connection, job: "Cancel", due: DueListener) -> list[str]:
        done: list[str] = []
        for delivery_id in job.delivery_ids:
            rows = connection.execute(_CANCEL, (delivery_id,)).fetchall()
            for seq, rule, action, order_key, latest_key in rows:
                done.append(delivery_id)
                connection.execute(_END_ATTEMPT, (job.now, seq))
                report_first(connection, (rule, action, order_key), due)
                if latest_key is not None:
                    after_attempt(connection, seq, (rule, action, latest_key), due)
        return done


_CANCEL = """
UPDATE delivery SET state = 'cancelled', token = NULL, blocked = 0
WHERE id = ? AND state IN ('pending', 'running', 'dead')
RETURNING seq, rule, action, order_key, latest_key
"""

_END_ATTEMPT = """
UPDATE attempt SET finished_at = max(?1, started_at), outcome = 'interrupted', error = 'cancelled while it was made'
WHERE delivery = ?2 AND finished_at IS NULL
"""
