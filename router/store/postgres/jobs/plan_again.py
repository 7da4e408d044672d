"""Plan again: more deliveries for a stored event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from psycopg.types.numeric import Int8

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.store.changes import DueListener
from router.store.postgres.arrays import stored
from router.store.postgres.jobs.job import Finish
from router.store.postgres.jobs.planned import Inserted, insert_planned, lanes_of
from router.store.postgres.jobs.rulesets import keep_included
from router.store.postgres.transaction import Rows, Transaction


@dataclass(slots=True)
class PlanAgain:
    """More deliveries of a stored event, perhaps by rules that the daemon does not run."""

    event_id: str
    plan: Sequence[PlannedDelivery]
    ruleset: RulesetText
    now: int
    is_append: ClassVar[bool] = False
    order: ClassVar[int] = 3
    ids: ClassVar[Sequence[str]] = ()
    groups: ClassVar[Sequence[UUID]] = ()

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        return 512 * len(self.plan) + len(self.ruleset.text)

    @property
    def lanes(self) -> Sequence[UUID]:
        """See WriteJob.lanes."""
        return lanes_of(self.plan)

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["PlanAgain"]) -> Finish:
        """Plan each."""
        answers = [cls._plan(transaction, job) for job in jobs]

        def finish(due: DueListener) -> list[bool]:
            results = []
            for found, planned in answers:
                results.append(bool(found.all()))
                planned.report(due)
            return results

        return finish

    @staticmethod
    def _plan(transaction: Transaction, job: "PlanAgain") -> tuple[Rows, Inserted]:
        text = job.ruleset
        # Locked, so that retention does not remove it meanwhile.
        found = transaction.run("SELECT seq FROM webhook_router.event WHERE id = %s FOR SHARE", (job.event_id,))
        keep_text(transaction, text, job.now)
        plans = [(job.event_id, job.plan, text.hash, job.now)]
        return found, insert_planned(transaction, plans, only_new=False)


def keep_text(transaction: Transaction, text: RulesetText, now: int) -> None:
    """Record the text of rules that no node may run."""
    transaction.run(_KEEP_TEXT, (text.hash, stored(text.text), text.base_dir, Int8(now)))
    keep_included(transaction, text)


# The text counts as retired at once, unless the daemon runs it. It is kept as long as its events.
_KEEP_TEXT = """
INSERT INTO webhook_router.ruleset AS r (hash, text, base_dir, retired_at) VALUES (%s, %s, %s, %b)
ON CONFLICT (hash) DO UPDATE SET
    retired_at = CASE WHEN r.retired_at IS NULL THEN NULL ELSE greatest(r.retired_at, excluded.retired_at) END
"""
