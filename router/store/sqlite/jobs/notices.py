"""The router's own events (notices): the first is stored as an event at once, further ones are gathered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.own_events import GATHER_MS, Gathered, Notice
from router.store.changes import DueListener
from router.store.sqlite.jobs.append import AppendEvent


@dataclass(slots=True)
class Tell:
    """A notice."""

    notice: Notice
    is_append: ClassVar[bool] = False
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Tell"], due: DueListener) -> list[bool]:
        """Store or gather each."""
        return tell(connection, [job.notice for job in jobs], due)


@dataclass(slots=True)
class TellGathered:
    """The gathered notices of one kind and subject. Without a notice they are forgotten."""

    gathered: Gathered
    notice: Notice | None
    now: int
    is_append: ClassVar[bool] = False
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["TellGathered"], due: DueListener) -> list[bool]:
        """Store an event for each, if nothing has changed since it was read."""
        return [_tell_gathered(connection, job, due) for job in jobs]


def tell(connection: apsw.Connection, notices: Sequence[Notice], due: DueListener) -> list[bool]:
    """Store or gather each in the open transaction. True: stored."""
    told = [_is_first(connection, notice) for notice in notices]
    _append(connection, [notice for notice, first in zip(notices, told, strict=True) if first], due)
    return told


def _is_first(connection: apsw.Connection, notice: Notice) -> bool:
    at, body = notice.event.received_at, notice.event.body.decode()
    key = (notice.kind, notice.subject)
    found = connection.execute("SELECT opened_at, count FROM notice WHERE kind = ? AND subject = ?", key).fetchone()
    # Notices gathered before are reported with their count, so this one joins them. A clock set back ends no gathering
    # early.
    if found is not None and (int(str(found[1])) > 0 or abs(at - int(str(found[0]))) < GATHER_MS):
        connection.execute(_GATHER, (body, *key))
        return False
    connection.execute("INSERT OR REPLACE INTO notice VALUES (?, ?, ?, 0, ?)", (*key, at, body))
    return True


def _tell_gathered(connection: apsw.Connection, job: TellGathered, due: DueListener) -> bool:
    gathered, notice = job.gathered, job.notice
    key = (gathered.kind, gathered.subject, gathered.opened_at, gathered.count)
    statement, more = (_FORGET, ()) if notice is None else (_BEGIN_ANEW, (job.now,))
    if not connection.execute(statement, (*more, *key)).fetchall():
        return False
    _append(connection, [] if notice is None else [notice], due)
    return True


def _append(connection: apsw.Connection, notices: Sequence[Notice], due: DueListener) -> None:
    jobs = [
        AppendEvent(one.event, one.plan, one.routing.ruleset, 0, one.routing.matched, one.routing.errors)
        for one in notices
    ]
    if jobs:
        AppendEvent.run(connection, jobs, due)


FIND_GATHERED = f"""
SELECT kind, subject, opened_at, count, last FROM notice WHERE abs(?1 - opened_at) >= {GATHER_MS} ORDER BY kind, subject
"""  # noqa: S608 - a constant

_GATHER = "UPDATE notice SET count = count + 1, last = ? WHERE kind = ? AND subject = ?"
_SAME = "WHERE kind = ? AND subject = ? AND opened_at = ? AND count = ? RETURNING 1"
_FORGET = f"DELETE FROM notice {_SAME}"  # noqa: S608 - a constant
_BEGIN_ANEW = f"UPDATE notice SET opened_at = ?, count = 0 {_SAME}"  # noqa: S608 - a constant

LEFT = """
INSERT INTO notice VALUES ('delivery.dead', ?1, 0, 1, ?2)
ON CONFLICT DO UPDATE SET count = count + 1, last = excluded.last
"""
"""A delivery that its owner left dead. The next owner reports it, since it has the rules."""
