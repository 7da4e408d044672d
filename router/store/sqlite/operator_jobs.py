"""What an operator asks of the store: replay, cancel, plan again. The same jobs serve the daemon and the commands."""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.errors import StoreError
from router.store.contract import PAGE
from router.store.sqlite.job import DueNote
from router.store.sqlite.jobs import HEAD, insert_planned, planned_rows


@dataclass(slots=True)
class _Chosen:
    """A page of deliveries that something is done with."""

    delivery_ids: Sequence[str]
    now: int

    @property
    def weight(self) -> int:
        """About how many bytes wait with this job."""
        return 64 * len(self.delivery_ids)

    def __post_init__(self) -> None:
        if len(self.delivery_ids) > PAGE:
            raise StoreError(f"at most {PAGE} deliveries can be changed at once")


@dataclass(slots=True)
class Replay(_Chosen):
    """Deliveries that begin anew, or need not wait for their next try."""

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Replay"], due: DueNote) -> list[list[str]]:
        """Replay each page."""
        return [cls._page(connection, job, due) for job in jobs]

    @staticmethod
    def _page(connection: apsw.Connection, job: "Replay", due: DueNote) -> list[str]:
        done: list[str] = []
        for delivery_id in job.delivery_ids:  # one by one: each gets its own place, in the order asked for
            rows = connection.execute(_HASTEN, (job.now, delivery_id)).fetchall()
            if not rows:
                rows = connection.execute(_BEGIN_ANEW, (job.now, delivery_id)).fetchall()
                connection.execute(_TAKE_PLACE, (delivery_id,))
            for target, blocked in rows:
                done.append(delivery_id)
                if not blocked:
                    due(str(target), job.now)
        return done


_HASTEN = """
UPDATE delivery SET next_attempt_at = min(next_attempt_at, ?1)
WHERE id = ?2 AND state = 'pending' AND blocked = 0
RETURNING target, blocked
"""

_BEGIN_ANEW = """
UPDATE delivery SET
    state = 'pending',
    next_attempt_at = ?1,
    attempts = 0,
    interruptions = 0,
    first_attempt_at = NULL,
    error = '',
    place = 1 + (SELECT seq FROM sqlite_sequence WHERE name = 'delivery'),
    blocked = order_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM delivery other
        WHERE other.rule = delivery.rule AND other.action = delivery.action AND other.order_key = delivery.order_key
            AND other.state IN ('pending', 'running')
    )
WHERE id = ?2 AND state IN ('succeeded', 'dead', 'cancelled')
RETURNING target, blocked
"""

# No delivery that is planned later gets this number, so that places and planned numbers are one order.
_TAKE_PLACE = """
UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(place, seq) FROM delivery WHERE id = ?))
WHERE name = 'delivery' AND EXISTS (SELECT 1 FROM delivery WHERE id = ?1)
"""


@dataclass(slots=True)
class Cancel(_Chosen):
    """Deliveries that are not to be made."""

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Cancel"], due: DueNote) -> list[list[str]]:
        """Cancel each page."""
        return [cls._page(connection, job, due) for job in jobs]

    @staticmethod
    def _page(connection: apsw.Connection, job: "Cancel", due: DueNote) -> list[str]:
        done: list[str] = []
        for delivery_id in job.delivery_ids:
            rows = connection.execute(_CANCEL, (delivery_id,)).fetchall()
            for seq, rule, action, order_key in rows:
                done.append(delivery_id)
                connection.execute(_END_ATTEMPT, (job.now, seq))
                for target, at in connection.execute(HEAD, (rule, action, order_key)):
                    due(str(target), int(str(at)))
        return done


_CANCEL = """
UPDATE delivery SET state = 'cancelled', token = NULL, blocked = 0
WHERE id = ? AND state IN ('pending', 'running', 'dead')
RETURNING seq, rule, action, order_key
"""

_END_ATTEMPT = """
UPDATE attempt SET finished_at = max(?1, started_at), outcome = 'interrupted', error = 'cancelled while it was made'
WHERE delivery = ?2 AND finished_at IS NULL
"""


@dataclass(slots=True)
class PlanAgain:
    """More deliveries of an event that was received before, perhaps by rules that the daemon does not run."""

    event_id: str
    plan: Sequence[PlannedDelivery]
    ruleset: RulesetText
    now: int

    @property
    def weight(self) -> int:
        """About how many bytes wait with this job."""
        return 512 * len(self.plan) + len(self.ruleset.text)

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PlanAgain"], due: DueNote) -> list[bool]:
        """Plan each."""
        return [cls._one(connection, job, due) for job in jobs]

    @staticmethod
    def _one(connection: apsw.Connection, job: "PlanAgain", due: DueNote) -> bool:
        found = connection.execute(_EVENT, (job.event_id,)).fetchall()
        if not found:
            return False
        [(event, last)] = found
        text = job.ruleset
        connection.execute(_KEEP_TEXT, (text.hash, text.text, text.base_dir, job.now))
        rows = planned_rows(int(str(event)), job.plan, text.hash, job.now, set())
        insert_planned(connection, rows, last, due)
        return True


_EVENT = "SELECT seq, coalesce((SELECT max(seq) FROM delivery), 0) FROM event WHERE id = ?"

# Retired from the beginning, unless the daemon runs it: its events keep it as long as they are kept.
_KEEP_TEXT = """
INSERT INTO ruleset (hash, text, base_dir, retired_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (hash) DO UPDATE SET retired_at = max(retired_at, ?4)
"""
