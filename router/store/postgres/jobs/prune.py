"""Prune: one step of retention."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.numeric import Int8

from router.domain.summaries import Pruned
from router.store import limits
from router.store.changes import DueListener
from router.store.postgres.arrays import stored
from router.store.postgres.jobs.job import Finish, Simple
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class Prune(Simple):
    """One step of retention."""

    before: int
    dead_before: int
    after: int
    source: str | None = None

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Prune"]) -> Finish:
        """Prune for each job."""
        answers = []
        for job in jobs:
            of_source = () if job.source is None else (stored(job.source),)
            values = (
                *of_source,
                Int8(job.after),
                limits.PRUNED_LOOK,
                Int8(job.before),
                Int8(job.dead_before),
                limits.PRUNED_AT_ONCE,
                Int8(job.before),
                limits.PRUNED_AT_ONCE,
            )
            answers.append(transaction.run(_PRUNE if job.source is None else _PRUNE_SOURCE, values))
            transaction.run(_PRUNE_TEXTS, (Int8(job.before), limits.TEXT_MARGIN_MS))

        def finish(_: DueListener) -> list[Pruned]:
            return [Pruned(*rows.all()[0]) for rows in answers]

        return finish


# Locked against `plan_again`. Rows that another transaction has locked are left for the next round.
_PRUNE = """
WITH looked_at AS MATERIALIZED (
    SELECT seq, received_at FROM webhook_router.event WHERE seq > %b ORDER BY seq LIMIT %s::int
), gone AS MATERIALIZED (
    SELECT e.seq FROM looked_at JOIN webhook_router.event e ON e.seq = looked_at.seq
    WHERE e.received_at < %b AND NOT EXISTS (
        SELECT 1 FROM webhook_router.delivery d
        WHERE d.event = e.seq AND (d.state IN ('pending', 'running') OR d.state = 'dead' AND e.received_at >= %b)
    )
    ORDER BY e.seq LIMIT %s::int FOR UPDATE OF e SKIP LOCKED
), deliveries AS (
    DELETE FROM webhook_router.delivery d USING gone WHERE d.event = gone.seq RETURNING d.seq
), attempts AS (
    DELETE FROM webhook_router.attempt a USING deliveries WHERE a.delivery = deliveries.seq
), alone AS (
    DELETE FROM webhook_router.matched_alone m USING gone WHERE m.event = gone.seq
), events AS (
    DELETE FROM webhook_router.event e USING gone WHERE e.seq = gone.seq
)
SELECT (SELECT count(*) FROM gone), CASE
    WHEN NOT EXISTS (SELECT 1 FROM looked_at WHERE received_at < %b) THEN NULL
    WHEN (SELECT count(*) FROM gone) = %s::int THEN (SELECT max(seq) FROM gone)
    ELSE (SELECT max(seq) FROM looked_at)
END
"""

_PRUNE_SOURCE = _PRUNE.replace(
    "WHERE seq > %b ORDER BY seq LIMIT", "WHERE source = %b::text AND (seq + 0) > %b ORDER BY (seq + 0) LIMIT", 1
)  # as the index on sources has it

# Only texts that were retired before all remaining events, and that no living node runs.
_PRUNE_TEXTS = """
DELETE FROM webhook_router.ruleset r
WHERE retired_at < coalesce((SELECT received_at FROM webhook_router.event ORDER BY seq LIMIT 1), %b) - %s::bigint
    AND NOT EXISTS (SELECT 1 FROM webhook_router.node n WHERE n.rules = r.hash)
"""
