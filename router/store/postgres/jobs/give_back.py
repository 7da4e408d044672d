"""Give back a claim without an attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from router.domain.deliveries import Claim
from router.store.changes import DueListener
from router.store.postgres import lanes
from router.store.postgres.arrays import stored
from router.store.postgres.jobs.job import Finish
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class GiveBack:
    """A claim whose delivery becomes pending again, under another target if one is given."""

    claim: Claim
    target: str | None = None
    held: bool = False  #: its rule or action is disabled
    is_append: ClassVar[bool] = False
    order: ClassVar[int] = 2
    weight: ClassVar[int] = 0
    lanes: ClassVar[Sequence[UUID]] = ()
    groups: ClassVar[Sequence[UUID]] = ()

    @property
    def ids(self) -> Sequence[str]:
        """See WriteJob.ids."""
        return (self.claim.delivery.id,)

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["GiveBack"]) -> Finish:
        """Give each claim back; False when its token no longer owns the delivery."""
        ordered = sorted(range(len(jobs)), key=lambda number: jobs[number].claim.delivery.id)
        answers = {}
        for number in ordered:
            job = jobs[number]
            target = None if job.target is None else stored(job.target)
            values = (target, 2 if job.held else 0, job.claim.delivery.id, job.claim.token)
            answers[number] = transaction.run(_RELEASE, values)
        unblocked = lanes.unblock(transaction, [job.claim.delivery.id for job in jobs])

        def finish(due: DueListener) -> list[bool]:
            results = []
            skipped = lanes.report(unblocked, due)
            for number, job in enumerate(jobs):
                rows = answers[number].all()
                results.append(bool(rows))
                for target, at in rows:
                    if not job.held and job.claim.delivery.id not in skipped:
                        due(target, at)
            return results

        return finish


_RELEASE = """
WITH released AS (
    UPDATE webhook_router.delivery SET
        state = 'pending', token = NULL, node = NULL, target = coalesce(%s::text, target), blocked = %s::int,
        tries = tries - 1
    WHERE id = %s AND state || '' = 'running' AND token = %s
    RETURNING seq, target, next_attempt_at
), gone AS (
    DELETE FROM webhook_router.attempt a USING released WHERE a.delivery = released.seq AND a.finished_at IS NULL
)
SELECT target, next_attempt_at FROM released
"""
