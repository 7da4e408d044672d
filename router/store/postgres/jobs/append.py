"""Append: an event with its planned deliveries, unless it is a duplicate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import orjson

from router.domain.deliveries import PlannedDelivery
from router.domain.events import UNMATCHED, Appended, Event
from router.store.changes import DueListener
from router.store.postgres.arrays import Blobs, Numbers, Texts, Uuids, columns, digest
from router.store.postgres.groups import groups_of
from router.store.postgres.jobs.job import Finish
from router.store.postgres.jobs.planned import insert_planned, lanes_of
from router.store.postgres.transaction import Rows, Transaction


@dataclass(slots=True)
class AppendEvent:
    """An event with its planned deliveries."""

    event: Event
    plan: Sequence[PlannedDelivery]
    ruleset: str
    window: int
    matched: Sequence[str] = ()
    errors: Sequence[tuple[str, str]] = ()
    reserved: Mapping[str, int] | None = None  #: see Store.append
    is_append: ClassVar[bool] = True
    order: ClassVar[int] = 0
    ids: ClassVar[Sequence[str]] = ()

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        return len(self.event.body) + 1024 + 512 * (len(self.plan) + len(self.errors))

    @property
    def alone(self) -> Iterable[str]:
        """The rules that matched without planning a delivery; `unmatched` if nothing matched and nothing was
        planned."""
        planned = {d.rule for d in self.plan}
        return [name for name in self.matched if name not in planned] if self.matched or planned else (UNMATCHED,)

    @property
    def lanes(self) -> Sequence[UUID]:
        """See WriteJob.lanes."""
        return lanes_of(self.plan)

    @property
    def groups(self) -> Sequence[UUID]:
        """See WriteJob.groups."""
        return groups_of(self.plan)

    @property
    def key(self) -> UUID | None:
        """The key that copies share; None when the event is never a duplicate."""
        if self.event.dedupe_key is None or self.window <= 0:
            return None
        return digest(self.event.source, self.event.dedupe_key)

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["AppendEvent"]) -> Finish:
        """Append many with one statement for keys, one for events and one for deliveries."""
        keys = [job.key for job in jobs]
        answers = [_Round(transaction, [(jobs[n], keys[n]) for n in numbers]) for numbers in _rounds(jobs, keys)]

        def finish(due: DueListener) -> list[Appended]:
            found: dict[str, Appended] = {}
            for answer in answers:
                found |= answer.results(due)
            return [found[job.event.id] for job in jobs]

        return finish


def _rounds(jobs: Sequence[AppendEvent], keys: Sequence[UUID | None]) -> Iterable[list[int]]:
    """The jobs' numbers in rounds. In a round only one job of each key may reserve it."""
    left = list(range(len(jobs)))
    while left:
        taken, later = [], []
        first: dict[UUID, AppendEvent] = {}
        for number in left:
            job, key = jobs[number], keys[number]
            before = first.setdefault(key, job) if key is not None else job
            passed = before.event.received_at <= job.event.received_at - job.window
            if before is not job and (not before.plan or passed):
                later.append(number)
            else:
                taken.append(number)
        yield taken
        left = later


class _Round:
    """Events that all reserve different keys."""

    def __init__(self, transaction: Transaction, jobs: Sequence[tuple[AppendEvent, UUID | None]]) -> None:
        self._jobs = [job for job, _ in jobs]
        self._reserve(transaction, jobs)
        self._inserted = _insert_events(transaction, jobs)
        keyed = [(job.event.id, key) for job, key in jobs if key is not None]
        self._firsts = transaction.run(_FIRSTS, columns(keyed, Texts, Uuids)) if keyed else None
        plans = [(job.event.id, job.plan, job.ruleset, job.event.received_at) for job in self._jobs if job.plan]
        alone = [(rule, job.event.id) for job in self._jobs for rule in job.alone]
        if alone:
            transaction.run(_MATCHED_ALONE, columns(alone, Texts, Texts))
        reserved = [one for job in self._jobs for one in (job.reserved or {}).items()]
        self._planned = insert_planned(transaction, plans, only_new=True, reserved=reserved) if plans else None

    @staticmethod
    def _reserve(transaction: Transaction, jobs: Sequence[tuple[AppendEvent, UUID | None]]) -> None:
        found: dict[UUID, tuple[UUID, str, int, int]] = {}
        for job, key in jobs:
            event = job.event
            if key is not None and job.plan:
                found.setdefault(key, (key, event.id, event.received_at, event.received_at + job.window))
        if found:
            # The key is locked even if the first event stays, by all writers in the same order: otherwise they would
            # deadlock.
            rows = sorted(found.values(), key=lambda row: row[0].bytes)
            transaction.run(_RESERVE, columns(rows, Uuids, Texts, Numbers, Numbers))

    def results(self, due: DueListener) -> dict[str, Appended]:
        """The results, by event id."""
        stored = {row[0] for row in self._inserted.all()}
        found = {job.event.id: Appended(job.event.id) for job in self._jobs}
        for id_, first in self._firsts.all() if self._firsts is not None else ():
            if first is not None and first != id_ and id_ not in stored:
                found[id_] = Appended(first, duplicate=True)
        if self._planned is not None:
            self._planned.report(due)
        return found


def _insert_events(transaction: Transaction, jobs: Sequence[tuple[AppendEvent, UUID | None]]) -> Rows:
    rows = []
    for job, key in jobs:
        e = job.event
        headers = orjson.dumps(e.headers).decode()
        facts = (e.id, e.source, e.method, e.path, e.query, headers, e.body, e.ip, e.received_at, e.dedupe_key)
        matched, errors = orjson.dumps(job.matched).decode(), orjson.dumps(job.errors).decode() if job.errors else None
        rows.append((*facts, job.ruleset, matched, errors, key, e.received_at - job.window))
    kinds = (*(Texts,) * 6, Blobs, Texts, Numbers, Texts, Texts, Texts, Texts, Uuids, Numbers)
    return transaction.run(_INSERT, (transaction.writer, *columns(rows, *kinds)))


_RESERVE = """
INSERT INTO webhook_router.dedupe AS d (digest, event, received_at, expires_at)
SELECT * FROM unnest(%b::uuid[], %b::text[], %b::bigint[], %b::bigint[])
ON CONFLICT (digest) DO UPDATE
SET event = excluded.event, received_at = excluded.received_at, expires_at = excluded.expires_at
WHERE d.received_at <= 2 * excluded.received_at - excluded.expires_at
"""

# A statement after the one that locked the keys, so that it sees the first events of other nodes.
_INSERT = """
INSERT INTO webhook_router.event
    (writer, id, source, method, path, query, headers, body, ip, received_at, dedupe_key, ruleset, matched, errors)
SELECT %b, e.id, e.source, e.method, e.path, e.query, e.headers, e.body, e.ip, e.received_at, e.dedupe_key, e.ruleset,
    e.matched, e.errors
FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::text[], %b::bigint[],
    %b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::bigint[]
) WITH ORDINALITY AS e (
    id, source, method, path, query, headers, body, ip, received_at, dedupe_key, ruleset, matched, errors, digest,
    floor, number
)
WHERE e.digest IS NULL OR NOT EXISTS (
    SELECT 1 FROM webhook_router.dedupe d
    WHERE d.digest = e.digest AND d.event <> e.id AND d.received_at > e.floor
)
ORDER BY e.number
ON CONFLICT (id) DO NOTHING -- it is stored: the answer to an earlier COMMIT was lost
RETURNING id
"""

_MATCHED_ALONE = """
INSERT INTO webhook_router.matched_alone (rule, event)
SELECT alone.rule, e.seq FROM unnest(%b::text[], %b::text[]) AS alone (rule, event)
JOIN webhook_router.event e ON e.id = alone.event AND e.xmin = pg_current_xact_id()::xid
ON CONFLICT DO NOTHING
"""

_FIRSTS = """
SELECT e.id, d.event FROM unnest(%b::text[], %b::uuid[]) AS e (id, digest)
LEFT JOIN webhook_router.dedupe d ON d.digest = e.digest
"""
