"""Replay: settled deliveries start again, and waiting ones become due at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from router.store.changes import DueListener
from router.store.sqlite.jobs.delivery_page import DeliveryPage


@dataclass(slots=True)
class Replay(DeliveryPage):
    """Deliveries that start again, or stop waiting for their next try."""

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Replay"], due: DueListener) -> list[list[str]]:
        """Replay each page."""
        return [cls._page(connection, job, due) for job in jobs]

    @staticmethod
    def _page(connection: apsw.Connection, job: "Replay", due: DueListener) -> list[str]:
        done: list[str] = []
        for delivery_id in job.delivery_ids:  # one by one, so that their order is the given one
            rows = connection.execute(_MAKE_DUE, (job.now, delivery_id)).fetchall()
            if not rows:
                rows = connection.execute(_START_AGAIN, (job.now, delivery_id)).fetchall()
                connection.execute(_TAKE_PLACE, (delivery_id,))
            for target, blocked in rows:
                done.append(delivery_id)
                if not blocked:
                    due(str(target), job.now)
        return done


_MAKE_DUE = """
UPDATE delivery SET next_attempt_at = min(next_attempt_at, ?1)
WHERE id = ?2 AND state = 'pending' AND blocked = 0
RETURNING target, blocked
"""

_START_AGAIN = """
UPDATE delivery SET
    state = 'pending',
    next_attempt_at = ?1,
    attempts = 0,
    interruptions = 0,
    first_attempt_at = NULL,
    error = '',
    latest_key = NULL,
    once_key = NULL,
    wait_since = NULL,
    skip_reason = NULL,
    skipped_for = NULL,
    place = 1 + (SELECT seq FROM sqlite_sequence WHERE name = 'delivery'),
    blocked = order_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM delivery other
        WHERE other.rule = delivery.rule AND other.action = delivery.action AND other.order_key = delivery.order_key
            AND other.state IN ('pending', 'running')
    )
WHERE id = ?2 AND state IN ('succeeded', 'dead', 'cancelled', 'skipped')
RETURNING target, blocked
"""

# A delivery planned later gets a higher number than this place, so places and seqs form one order.
_TAKE_PLACE = """
UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(place, seq) FROM delivery WHERE id = ?))
WHERE name = 'delivery' AND EXISTS (SELECT 1 FROM delivery WHERE id = ?1)
"""
