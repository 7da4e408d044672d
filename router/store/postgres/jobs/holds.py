"""Holds: pauses by command, what the rules file holds, and the marks of held deliveries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.numeric import Int8

from router.domain.holds import Hold, HoldCause, HoldKind, HoldName
from router.store import limits
from router.store.changes import DueListener
from router.store.postgres.arrays import Texts, columns, stored
from router.store.postgres.jobs.job import Finish, Simple, none_for
from router.store.postgres.transaction import Transaction

READ = "SELECT kind, name, cause, began_at, until, ended_at FROM webhook_router.hold ORDER BY seq"
MARKED_ACTIONS = "SELECT DISTINCT rule, action FROM webhook_router.delivery WHERE blocked & 2 = 2"


def hold_row(row: tuple[Any, ...]) -> Hold:
    """A hold, from a row of READ."""
    kind, name, cause, began_at, until, ended_at = row
    return Hold(HoldKind(kind), name, HoldCause(cause), began_at, until, ended_at)


@dataclass(slots=True)
class PauseTarget(Simple):
    """A pause of a target by command. An active pause gets the new end."""

    target: str
    until: int | None
    now: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["PauseTarget"]) -> Finish:
        """Pause each."""
        for job in jobs:
            target, now = stored(job.target), Int8(job.now)
            until = None if job.until is None else Int8(job.until)
            # A pause whose time is over ended at that time: what followed must not count as held.
            transaction.run(_END_OVER, (target, now))
            transaction.run(_PAUSE, (target, now, until))
            _forget(transaction, job.now)
        return none_for(jobs)


@dataclass(slots=True)
class ResumeTarget(Simple):
    """The end of a pause by command."""

    target: str
    now: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["ResumeTarget"]) -> Finish:
        """Resume each. False for a target without a pause by command."""
        answers = [transaction.run(_RESUME, (Int8(job.now), stored(job.target), Int8(job.now))) for job in jobs]
        return lambda _: [any(was_active for (was_active,) in rows.all()) for rows in answers]


@dataclass(slots=True)
class PutFileHolds(Simple):
    """Everything that the rules file holds from now on (ms)."""

    names: Collection[HoldName]
    now: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["PutFileHolds"]) -> Finish:
        """Begin new holds, and end those that the file no longer has."""
        for job in jobs:
            wanted = columns(sorted((kind.value, name) for kind, name in set(job.names)), Texts, Texts)
            transaction.run(_END_OF_FILE, (Int8(job.now), *wanted))
            transaction.run(_BEGIN, (Int8(job.now), *wanted))
            _forget(transaction, job.now)
        return none_for(jobs)


@dataclass(slots=True)
class MarkHeld(Simple):
    """One step of marking a rule's pending deliveries, or those of one of its actions."""

    rule: str
    action: str | None
    after: int

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["MarkHeld"]) -> Finish:
        """Mark for each job. Returns the `after` of the next step; None at the end."""
        answers = [transaction.run(_MARK, (job.rule, Int8(job.after), limits.MARKED, job.action)) for job in jobs]

        def finish(_: DueListener) -> list[int | None]:
            found = [rows.all()[0] for rows in answers]
            return [last if looked_at == limits.MARKED else None for looked_at, last in found]

        return finish


@dataclass(slots=True)
class MarkIds(Simple):
    """Deliveries that became pending while their action is held."""

    delivery_ids: Sequence[str]

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["MarkIds"]) -> Finish:
        """Mark each."""
        transaction.run(_MARK_IDS, (Texts(sorted({id_ for job in jobs for id_ in job.delivery_ids})),))
        return none_for(jobs)


@dataclass(slots=True)
class LetGo(Simple):
    """One step of unmarking an action's deliveries."""

    rule: str
    action: str

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["LetGo"]) -> Finish:
        """Unmark for each job. Returns whether there may be more."""
        answers = [transaction.run(_LET_GO, (job.rule, job.action, limits.MARKED)) for job in jobs]

        def finish(due: DueListener) -> list[bool]:
            results = []
            for rows in answers:
                found = rows.all()
                for target, at, blocked in found:
                    if not blocked:
                        due(target, at)
                results.append(len(found) == limits.MARKED)
            return results

        return finish


def _forget(transaction: Transaction, now: int) -> None:
    transaction.run(_FORGET, (Int8(now - limits.KEPT_HOLDS_MS), limits.KEPT_HOLDS))


_END_OVER = """
UPDATE webhook_router.hold SET ended_at = until
WHERE kind = 'target' AND name = %s AND cause = 'operator' AND ended_at IS NULL AND until <= %b
"""

_PAUSE = """
INSERT INTO webhook_router.hold (kind, name, cause, began_at, until) VALUES ('target', %s, 'operator', %b, %b)
ON CONFLICT (kind, name, cause) WHERE ended_at IS NULL DO UPDATE SET until = excluded.until
"""

_RESUME = """
WITH at (now) AS (VALUES (%b))
UPDATE webhook_router.hold SET ended_at = greatest(began_at, least(coalesce(until, at.now), at.now))
FROM at
WHERE kind = 'target' AND name = %s AND cause = 'operator' AND ended_at IS NULL
RETURNING until IS NULL OR until > %b
"""

_END_OF_FILE = """
UPDATE webhook_router.hold h SET ended_at = greatest(began_at, %b)
WHERE cause = 'file' AND ended_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM unnest(%b::text[], %b::text[]) AS wanted (kind, name)
    WHERE wanted.kind = h.kind AND wanted.name = h.name
)
"""

_BEGIN = """
INSERT INTO webhook_router.hold (kind, name, cause, began_at)
SELECT kind, name, 'file', %b FROM unnest(%b::text[], %b::text[]) AS wanted (kind, name)
ON CONFLICT (kind, name, cause) WHERE ended_at IS NULL DO NOTHING
"""

_FORGET = """
DELETE FROM webhook_router.hold WHERE ended_at IS NOT NULL AND (
    ended_at < %b
    OR seq <= (
        SELECT seq FROM webhook_router.hold WHERE ended_at IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET %s::int
    )
)
"""

_MARK = """
WITH found AS MATERIALIZED (
    SELECT seq, action FROM webhook_router.delivery
    WHERE rule = %s AND state IN ('pending', 'running') AND seq > %b ORDER BY seq LIMIT %s::int
), marked AS (
    UPDATE webhook_router.delivery d SET blocked = d.blocked | 2
    FROM found, (VALUES (%s::text)) AS chosen (action)
    WHERE d.seq = found.seq AND d.state = 'pending' AND d.blocked & 2 = 0
        AND (chosen.action IS NULL OR found.action = chosen.action)
)
SELECT count(*), max(seq) FROM found
"""

_MARK_IDS = """
UPDATE webhook_router.delivery d SET blocked = d.blocked | 2
FROM unnest(%b::text[]) AS one (id) WHERE d.id = one.id AND d.state = 'pending'
"""

_LET_GO = """
WITH found AS MATERIALIZED (
    SELECT seq FROM webhook_router.delivery WHERE rule = %s AND action = %s AND blocked & 2 = 2
    ORDER BY seq LIMIT %s::int
)
UPDATE webhook_router.delivery d SET blocked = d.blocked & ~2
FROM found WHERE d.seq = found.seq AND d.blocked & 2 = 2
RETURNING d.target, d.next_attempt_at, d.blocked
"""
