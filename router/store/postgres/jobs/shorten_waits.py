"""Shorten waits: one step of correcting waits that are too long after the clock was set back."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.numeric import Int8

from router.store import limits
from router.store.changes import DueListener
from router.store.postgres.jobs.job import Finish, Simple
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class ShortenWaits(Simple):
    """One step through the pending deliveries."""

    now: int
    after: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["ShortenWaits"]) -> Finish:
        """Shorten for each job. Returns the `after` of the next step; None at the end."""
        answers = []
        for job in jobs:
            now, look = Int8(job.now), limits.SHORTENED_LOOK
            bounds = transaction.run(_BOUNDS, (Int8(job.after), look))
            answers.append((bounds, transaction.run(_SHORTEN, (now, Int8(job.after), look))))

        def finish(due: DueListener) -> list[int | None]:
            results = []
            for bounds, shortened in answers:
                [(last, newest)] = bounds.all()
                for target, at, blocked in shortened.all():
                    if not blocked:
                        due(target, at)
                results.append(last if last is not None and newest is not None and newest > last else None)
            return results

        return finish


# The settled ones before the first pending one are skipped: there may be millions.
_FROM = """
SELECT CASE WHEN after > 0 THEN after ELSE (
    WITH RECURSIVE r (rule) AS (
        SELECT min(rule) FROM webhook_router.delivery WHERE state IN ('pending', 'running')
        UNION ALL
        SELECT (
            SELECT min(rule) FROM webhook_router.delivery WHERE state IN ('pending', 'running') AND rule > r.rule
        ) FROM r WHERE r.rule IS NOT NULL
    )
    SELECT min((
        SELECT min(seq) FROM webhook_router.delivery WHERE rule = r.rule AND state IN ('pending', 'running')
    )) - 1 FROM r WHERE r.rule IS NOT NULL
) END AS first, look
FROM (VALUES (%b, %s::bigint)) AS given (after, look)
"""

_BOUNDS = f"""
WITH bounds AS MATERIALIZED ({_FROM})
SELECT first + look, (SELECT max(seq) FROM webhook_router.delivery) FROM bounds
"""  # noqa: S608 - constants

# A delivery without a counted attempt becomes due at once. If its group's wait began in the future, it waits from now
# on. Any other delivery whose last attempt ended in the future waits from now on, as long as it was to wait after that
# attempt. Its new time is before that end, so a second run leaves it alone (or, when its wait is longer than the clock
# was set back, makes it earlier by less).
_SHORTEN = f"""
WITH at (now) AS (VALUES (%b)), bounds AS MATERIALIZED ({_FROM}), found AS MATERIALIZED (
    SELECT d.seq, least(d.wait_since, at.now) AS since, at.now + CASE
        WHEN d.attempts > 0 THEN d.next_attempt_at - ended.at
        WHEN d.wait_since IS NOT NULL AND d.interruptions = 0 THEN d.next_attempt_at - d.wait_since
        ELSE 0
    END AS next
    FROM at, bounds, webhook_router.delivery d
    LEFT JOIN LATERAL (
        SELECT max(finished_at) AS at FROM webhook_router.attempt a WHERE a.delivery = d.seq
    ) AS ended ON true
    WHERE d.seq > bounds.first AND d.seq <= bounds.first + bounds.look AND d.state = 'pending'
        AND d.next_attempt_at > at.now
        AND (d.attempts = 0 AND (d.wait_since IS NULL OR d.interruptions > 0 OR d.wait_since > at.now)
            OR ended.at BETWEEN at.now + 1 AND d.next_attempt_at)
    ORDER BY d.seq
)
UPDATE webhook_router.delivery d SET
    next_attempt_at = found.next, wait_since = CASE WHEN d.wait_since IS NOT NULL THEN found.since END
FROM found WHERE d.seq = found.seq AND d.state = 'pending'
RETURNING d.target, d.next_attempt_at, d.blocked
"""  # noqa: S608 - constants
