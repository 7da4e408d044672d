"""Holds: pauses by command, what the rules file holds, and the marks of held deliveries."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import apsw

from router.domain.holds import Hold, HoldCause, HoldKind, HoldName
from router.store import limits
from router.store.changes import DueListener

READ = "SELECT kind, name, cause, began_at, until, ended_at FROM hold ORDER BY seq"
MARKED_ACTIONS = "SELECT DISTINCT rule, action FROM delivery WHERE blocked & 2"


def hold_row(row: tuple[Any, ...]) -> Hold:
    """A hold, from a row of READ."""
    kind, name, cause, began_at, until, ended_at = row
    return Hold(HoldKind(kind), name, HoldCause(cause), began_at, until, ended_at)


@dataclass(slots=True)
class PauseTarget:
    """A pause of a target by command. An active pause gets the new end."""

    target: str
    until: int | None
    now: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PauseTarget"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Pause each."""
        for job in jobs:
            # A pause whose time is over ended at that time: what followed must not count as held.
            connection.execute(_END_OVER, (job.target, job.now))
            connection.execute(_PAUSE, (job.target, job.now, job.until))
            connection.execute(_FORGET, (job.now - limits.KEPT_HOLDS_MS, limits.KEPT_HOLDS))
        return [None] * len(jobs)


@dataclass(slots=True)
class ResumeTarget:
    """The end of a pause by command."""

    target: str
    now: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["ResumeTarget"], due: DueListener) -> list[bool]:  # noqa: ARG003
        """Resume each. False for a target without a pause by command."""
        results = []
        for job in jobs:
            ended = connection.execute(_RESUME, (job.target, job.now)).fetchall()
            results.append(any(bool(was_active) for (was_active,) in ended))
        return results


@dataclass(slots=True)
class PutFileHolds:
    """Everything that the rules file holds from now on (ms)."""

    names: Collection[HoldName]
    now: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["PutFileHolds"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Begin new holds, and end those that the file no longer has."""
        for job in jobs:
            found = connection.execute(_OPEN_OF_FILE).fetchall()
            held = {(HoldKind(str(kind)), str(name)) for kind, name in found}
            wanted = set(job.names)
            connection.executemany(_END_OF_FILE, [(kind.value, name, job.now) for kind, name in held - wanted])
            connection.executemany(_BEGIN, [(kind.value, name, job.now) for kind, name in sorted(wanted - held)])
            connection.execute(_FORGET, (job.now - limits.KEPT_HOLDS_MS, limits.KEPT_HOLDS))
        return [None] * len(jobs)


@dataclass(slots=True)
class MarkHeld:
    """One step of marking a rule's pending deliveries, or those of one of its actions."""

    rule: str
    action: str | None
    after: int
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["MarkHeld"], due: DueListener) -> list[int | None]:  # noqa: ARG003
        """Mark for each job. Returns the `after` of the next step; None at the end."""
        results: list[int | None] = []
        for job in jobs:
            rows = connection.execute(_WAITING, (job.rule, job.after, limits.MARKED)).fetchall()
            chosen = [(seq,) for seq, action in rows if job.action in (None, action)]
            connection.executemany(
                "UPDATE delivery SET blocked = blocked | 2 WHERE seq = ? AND state = 'pending'", chosen
            )
            results.append(int(str(rows[-1][0])) if len(rows) == limits.MARKED else None)
        return results


@dataclass(slots=True)
class MarkIds:
    """Deliveries that became pending while their action is held."""

    delivery_ids: Sequence[str]
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["MarkIds"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Mark each."""
        ids: Iterable[tuple[str]] = [(id_,) for job in jobs for id_ in job.delivery_ids]
        connection.executemany("UPDATE delivery SET blocked = blocked | 2 WHERE id = ? AND state = 'pending'", ids)
        return [None] * len(jobs)


@dataclass(slots=True)
class LetGo:
    """One step of unmarking an action's deliveries."""

    rule: str
    action: str
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["LetGo"], due: DueListener) -> list[bool]:
        """Unmark for each job. Returns whether there may be more."""
        results = []
        for job in jobs:
            rows = connection.execute(_LET_GO, (job.rule, job.action, limits.MARKED)).fetchall()
            for target, at, blocked in rows:
                if not blocked:
                    due(str(target), int(str(at)))
            results.append(len(rows) == limits.MARKED)
        return results


_END_OVER = """
UPDATE hold SET ended_at = until
WHERE kind = 'target' AND name = ?1 AND cause = 'operator' AND ended_at IS NULL AND until <= ?2
"""

_PAUSE = """
INSERT INTO hold (kind, name, cause, began_at, until) VALUES ('target', ?1, 'operator', ?2, ?3)
ON CONFLICT (kind, name, cause) WHERE ended_at IS NULL DO UPDATE SET until = ?3
"""

_RESUME = """
UPDATE hold SET ended_at = max(began_at, min(coalesce(until, ?2), ?2))
WHERE kind = 'target' AND name = ?1 AND cause = 'operator' AND ended_at IS NULL
RETURNING until IS NULL OR until > ?2
"""

_OPEN_OF_FILE = "SELECT kind, name FROM hold WHERE cause = 'file' AND ended_at IS NULL"

_END_OF_FILE = """
UPDATE hold SET ended_at = max(began_at, ?3) WHERE kind = ?1 AND name = ?2 AND cause = 'file' AND ended_at IS NULL
"""

_BEGIN = "INSERT INTO hold (kind, name, cause, began_at) VALUES (?, ?, 'file', ?)"

_FORGET = """
DELETE FROM hold WHERE ended_at IS NOT NULL AND (
    ended_at < ?1 OR seq <= (SELECT seq FROM hold WHERE ended_at IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2)
)
"""

_WAITING = """
SELECT seq, action FROM delivery INDEXED BY delivery_waiting
WHERE rule = ? AND state IN ('pending', 'running') AND seq > ? ORDER BY seq LIMIT ?
"""

_LET_GO = """
UPDATE delivery SET blocked = blocked & ~2
WHERE seq IN (SELECT seq FROM delivery INDEXED BY delivery_held WHERE rule = ? AND action = ? AND blocked & 2 LIMIT ?)
RETURNING target, next_attempt_at, blocked
"""
