"""Plan again: more deliveries for a stored event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.store.changes import DueListener
from router.store.sqlite.jobs.planned import insert_planned, planned_rows
from router.store.sqlite.jobs.rulesets import keep_included


@dataclass(slots=True)
class PlanAgain:
    """More deliveries of a stored event, perhaps by rules that the daemon does not run."""

    event_id: str
    plan: Sequence[PlannedDelivery]
    ruleset: RulesetText
    now: int
    is_append: ClassVar[bool] = False

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        return 512 * len(self.plan) + len(self.ruleset.text)

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PlanAgain"], due: DueListener) -> list[bool]:
        """Plan each."""
        return [cls._plan(connection, job, due) for job in jobs]

    @staticmethod
    def _plan(connection: apsw.Connection, job: "PlanAgain", due: DueListener) -> bool:
        found = connection.execute(_EVENT, (job.event_id,)).fetchall()
        if not found:
            return False
        [(event, last)] = found
        keep_text(connection, job.ruleset, job.now)
        rows = planned_rows(int(str(event)), job.plan, job.ruleset.hash, job.now, set())
        insert_planned(connection, rows, last, due)
        return True


def keep_text(connection: apsw.Connection, text: RulesetText, now: int) -> None:
    """Record the text of rules that the daemon may not run."""
    connection.execute(_KEEP_TEXT, (text.hash, text.text, text.base_dir, now))
    keep_included(connection, text)


_EVENT = "SELECT seq, coalesce((SELECT max(seq) FROM delivery), 0) FROM event WHERE id = ?"

# The text counts as retired at once, unless the daemon runs it. It is kept as long as its events.
_KEEP_TEXT = """
INSERT INTO ruleset (hash, text, base_dir, retired_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (hash) DO UPDATE SET retired_at = max(retired_at, ?4)
"""
