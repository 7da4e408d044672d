"""The router's own events (notices): the first is stored as an event at once, further ones are gathered.

The statements of a transaction are sent before any result is known. So a notice's row names the event that reports it,
and the event is inserted only if the row names it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from psycopg.types.numeric import Int8

from router.domain.own_events import GATHER_MS, Gathered, Notice
from router.store.changes import DueListener
from router.store.postgres.arrays import Texts, columns, stored
from router.store.postgres.groups import groups_of
from router.store.postgres.jobs.job import Finish, Simple
from router.store.postgres.jobs.planned import insert_planned, lanes_of
from router.store.postgres.transaction import Rows, Transaction


@dataclass(slots=True)
class Tell(Simple):
    """A notice."""

    notice: Notice

    @property
    def lanes(self) -> Sequence[UUID]:  # type: ignore[override]
        """See WriteJob.lanes."""
        return lanes_of(self.notice.plan)

    @property
    def groups(self) -> Sequence[UUID]:  # type: ignore[override]
        """See WriteJob.groups."""
        return groups_of(self.notice.plan)

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Tell"]) -> Finish:
        """Store or gather each."""
        sent = [tell(transaction, job.notice) for job in jobs]
        return lambda due: [done(due) for done in sent]


@dataclass(slots=True)
class TellGathered(Simple):
    """The gathered notices of one kind and subject. Without a notice they are forgotten."""

    gathered: Gathered
    notice: Notice | None
    now: int

    @property
    def lanes(self) -> Sequence[UUID]:  # type: ignore[override]
        """See WriteJob.lanes."""
        return lanes_of(self.notice.plan) if self.notice is not None else ()

    @property
    def groups(self) -> Sequence[UUID]:  # type: ignore[override]
        """See WriteJob.groups."""
        return groups_of(self.notice.plan) if self.notice is not None else ()

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["TellGathered"]) -> Finish:
        """Store an event for each, if nothing has changed since it was read."""
        sent = [_tell_gathered(transaction, job) for job in jobs]
        return lambda due: [done(due) for done in sent]


def tell(transaction: Transaction, notice: Notice, *, settled: str | None = None) -> Callable[[DueListener], bool]:
    """Store or gather a notice. The result is True when it was stored.

    `settled` is a delivery's id: the notice counts only if this transaction has ended the delivery's attempt, and the
    notice of a dead delivery only if it is not skipped instead.
    """
    event = notice.event
    at, text = Int8(event.received_at), stored(event.body.decode())
    values = (notice.kind, stored(notice.subject), at, text, event.id, event.id, *_window(), *_window(), *_window())
    statement = _TELL if settled is None else _TELL_SETTLED
    found = transaction.run(statement, values if settled is None else (*values[:6], settled, notice.kind, *values[6:]))
    return _with_event(transaction, notice, found)


def _window() -> tuple[Int8]:
    return (Int8(GATHER_MS),)


def _tell_gathered(transaction: Transaction, job: TellGathered) -> Callable[[DueListener], bool]:
    gathered, notice = job.gathered, job.notice
    same = (gathered.kind, stored(gathered.subject), Int8(gathered.opened_at), Int8(gathered.count))
    if notice is None:
        forgotten = transaction.run(_FORGET, same)
        return lambda _: bool(forgotten.all())
    found = transaction.run(_BEGIN_ANEW, (Int8(job.now), notice.event.id, *same))
    return _with_event(transaction, notice, found)


def _with_event(transaction: Transaction, notice: Notice, found: Rows) -> Callable[[DueListener], bool]:
    event, routing = notice.event, notice.routing
    matched = orjson.dumps(routing.matched).decode()
    errors = orjson.dumps(routing.errors).decode() if routing.errors else None
    headers = orjson.dumps(event.headers).decode()
    facts = (event.id, event.source, event.method, event.path, event.query, headers)
    more = (event.ip, Int8(event.received_at), routing.ruleset, matched, errors)
    wanted = (notice.kind, stored(notice.subject), event.id)
    transaction.run(_INSERT, (transaction.writer, *facts, event.body, *more, *wanted))
    plan = (event.id, notice.plan, routing.ruleset, event.received_at)
    planned = insert_planned(transaction, [plan], only_new=True) if notice.plan else None
    alone = [name for name in routing.matched if name not in {d.rule for d in notice.plan}]
    if alone:
        transaction.run(_ALONE, columns([(name, event.id) for name in alone], Texts, Texts))

    def finish(due: DueListener) -> bool:
        if planned is not None:
            planned.report(due)
        return any(told for (told,) in found.all())

    return finish


_UPSERT = """
INSERT INTO webhook_router.notice AS n (kind, subject, opened_at, count, last, event, newest)
SELECT %b::text, %b::text, %b::bigint, 0, %b::text, %b::text, %b::text {condition}
ON CONFLICT (kind, subject) DO UPDATE SET
    count = CASE WHEN n.count = 0 AND abs(excluded.opened_at - n.opened_at) >= %b::bigint THEN 0 ELSE n.count + 1 END,
    event = CASE WHEN n.count = 0 AND abs(excluded.opened_at - n.opened_at) >= %b::bigint THEN excluded.event
        ELSE n.event END,
    opened_at = CASE WHEN n.count = 0 AND abs(excluded.opened_at - n.opened_at) >= %b::bigint THEN excluded.opened_at
        ELSE n.opened_at END,
    last = excluded.last,
    newest = excluded.newest
WHERE n.newest <> excluded.newest -- else the answer to an earlier COMMIT was lost
RETURNING n.event = n.newest
"""
_TELL = _UPSERT.format(condition="")
_TELL_SETTLED = _UPSERT.format(
    condition="""WHERE EXISTS (
    SELECT 1 FROM webhook_router.delivery d
    JOIN webhook_router.attempt a ON a.delivery = d.seq AND a.number = d.tries
    WHERE d.id = %b::text AND a.xmin = pg_current_xact_id()::xid AND a.finished_at IS NOT NULL
        AND (d.state <> 'skipped' OR %b::text <> 'delivery.dead')
)"""
)

_SAME = "WHERE kind = %b::text AND subject = %b::text AND opened_at = %b::bigint AND count = %b::bigint"
_FORGET = f"DELETE FROM webhook_router.notice {_SAME} RETURNING true"  # noqa: S608 - constants
_BEGIN_ANEW = (
    f"UPDATE webhook_router.notice SET opened_at = %b::bigint, count = 0, event = %b::text {_SAME} RETURNING true"  # noqa: S608 - constants
)

_INSERT = """
INSERT INTO webhook_router.event
    (writer, id, source, method, path, query, headers, body, ip, received_at, ruleset, matched, errors)
SELECT %b, %b::text, %b::text, %b::text, %b::text, %b::text, %b::text, %b::bytea, %b::text, %b::bigint, %b::text,
    %b::text, %b::text
WHERE EXISTS (
    SELECT 1 FROM webhook_router.notice WHERE kind = %b::text AND subject = %b::text AND event = %b::text
)
ON CONFLICT (id) DO NOTHING
"""

_ALONE = """
INSERT INTO webhook_router.matched_alone (rule, event)
SELECT alone.rule, e.seq FROM unnest(%b::text[], %b::text[]) AS alone (rule, event)
JOIN webhook_router.event e ON e.id = alone.event AND e.xmin = pg_current_xact_id()::xid
ON CONFLICT DO NOTHING
"""

FIND_GATHERED = f"""
SELECT kind, subject, opened_at, count, last FROM webhook_router.notice
WHERE abs(%s::bigint - opened_at) >= {GATHER_MS} ORDER BY kind, subject
"""  # noqa: S608 - a constant
