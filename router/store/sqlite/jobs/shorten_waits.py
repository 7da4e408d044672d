"""Shorten waits: one step of correcting waits that are too long after the clock was set back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.store import limits
from router.store.changes import DueListener


@dataclass(slots=True)
class ShortenWaits:
    """One step through the pending deliveries."""

    now: int
    after: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["ShortenWaits"], due: DueListener) -> list[int | None]:
        """Shorten for each job. Returns the `after` of the next step; None at the end."""
        return [cls._shorten(connection, job, due) for job in jobs]

    @staticmethod
    def _shorten(connection: apsw.Connection, job: "ShortenWaits", due: DueListener) -> int | None:
        after = job.after
        if after == 0:  # skip the settled ones before the first pending one: there may be millions
            [(first,)] = connection.execute(_FIRST).fetchall()
            if first is None:
                return None
            after = int(str(first)) - 1
        last = after + limits.SHORTENED_LOOK
        for target, at, blocked in connection.execute(_SHORTEN, (job.now, after, last)).fetchall():
            if not blocked:
                due(str(target), int(str(at)))
        [(newest,)] = connection.execute("SELECT max(seq) FROM delivery").fetchall()
        return last if int(str(newest)) > last else None


_FIRST = "SELECT min(seq) FROM delivery INDEXED BY delivery_waiting WHERE state IN ('pending', 'running')"

# A delivery without a counted attempt becomes due at once. If its group's wait began in the future, it waits from now
# on. Any other delivery whose last attempt ended in the future waits from now on, as long as it was to wait after that
# attempt. Its new time is before that end, so a second run leaves it alone (or, when its wait is longer than the clock
# was set back, makes it earlier by less).
_SHORTEN = """
UPDATE delivery SET
    next_attempt_at = ?1 + CASE
        WHEN attempts > 0
            THEN next_attempt_at - (SELECT max(finished_at) FROM attempt WHERE attempt.delivery = delivery.seq)
        WHEN wait_since IS NOT NULL AND interruptions = 0 THEN next_attempt_at - wait_since
        ELSE 0
    END,
    wait_since = min(wait_since, ?1)
WHERE seq > ?2 AND seq <= ?3 AND state = 'pending' AND next_attempt_at > ?1 AND (
    attempts = 0 AND (wait_since IS NULL OR interruptions > 0 OR wait_since > ?1)
    OR (SELECT max(finished_at) FROM attempt WHERE attempt.delivery = delivery.seq) BETWEEN ?1 + 1 AND next_attempt_at
)
RETURNING target, next_attempt_at, blocked
"""
