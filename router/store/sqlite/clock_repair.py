"""Waits that a clock which was set back would make too long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.store.sqlite.job import DueNote

LOOKED_AT = 5000  #: places in the store that one step looks at: some milliseconds


@dataclass(slots=True)
class Shorten:
    """One step through what is pending."""

    now: int
    after: int
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Shorten"], due: DueNote) -> list[int | None]:
        """Shorten for each; gives where the next step goes on, none at the end."""
        return [cls._one(connection, job, due) for job in jobs]

    @staticmethod
    def _one(connection: apsw.Connection, job: "Shorten", due: DueNote) -> int | None:
        after = job.after
        if after == 0:  # what lies before is settled, and may be millions
            [(first,)] = connection.execute(_FIRST).fetchall()
            if first is None:
                return None
            after = int(str(first)) - 1
        last = after + LOOKED_AT
        for target, at, blocked in connection.execute(_SHORTEN, (job.now, after, last)).fetchall():
            if not blocked:
                due(str(target), int(str(at)))
        [(newest,)] = connection.execute("SELECT max(seq) FROM delivery").fetchall()
        return last if int(str(newest)) > last else None


_FIRST = "SELECT min(seq) FROM delivery INDEXED BY delivery_waiting WHERE state IN ('pending', 'running')"

# Without a counted attempt it is due at once, whatever the clock says. Else it waits for what it was to wait for after
# its last one, when that ended at a time which is still to come. What was moved so before lies before that time: a
# second look leaves it alone (or, when it waits for longer than the clock was set back, makes it earlier by less).
_SHORTEN = """
UPDATE delivery SET next_attempt_at = ?1 + CASE
    WHEN attempts = 0 THEN 0
    ELSE next_attempt_at - (SELECT max(finished_at) FROM attempt WHERE attempt.delivery = delivery.seq)
END
WHERE seq > ?2 AND seq <= ?3 AND state = 'pending' AND next_attempt_at > ?1 AND (
    attempts = 0
    OR (SELECT max(finished_at) FROM attempt WHERE attempt.delivery = delivery.seq) BETWEEN ?1 + 1 AND next_attempt_at
)
RETURNING target, next_attempt_at, blocked
"""
