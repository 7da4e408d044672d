"""Append: an event with its planned deliveries, unless it is a duplicate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import apsw
import orjson

from router.domain.deliveries import PlannedDelivery
from router.domain.events import UNMATCHED, Appended, Event
from router.store.changes import DueListener
from router.store.sqlite.following import NEWEST_EVENT
from router.store.sqlite.jobs import dedupe
from router.store.sqlite.jobs.groups import Member
from router.store.sqlite.jobs.many_rows import write_rows
from router.store.sqlite.jobs.planned import OrderKey, insert_planned, planned_rows
from router.store.sqlite.jobs.put_piece import refer
from router.store.sqlite.pieces import is_large


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
    in_pieces: bool = False  #: the body is in the store already
    is_append: ClassVar[bool] = True

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        return len(self.event.body) + 1024 + 512 * (len(self.plan) + len(self.errors))

    @property
    def is_large(self) -> bool:
        """Whether its body must be written in pieces."""
        return is_large(self.event.body)

    @property
    def alone(self) -> Iterable[str]:
        """The rules that matched without planning a delivery; `unmatched` if nothing matched and nothing was
        planned."""
        planned = {d.rule for d in self.plan}
        return [name for name in self.matched if name not in planned] if self.matched or planned else (UNMATCHED,)

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["AppendEvent"], due: DueListener) -> list[Appended]:
        """Append many with one statement for the events and one for the deliveries."""
        results = _find_duplicates(connection, jobs)
        [(seq, last)] = connection.execute(_NEWEST).fetchall()
        seq = int(str(seq))
        events: list[tuple[Any, ...]] = []
        deliveries: list[tuple[Any, ...]] = []
        alone: list[tuple[str, int]] = []
        ordered: set[OrderKey] = set()
        grouped: list[Member] = []
        reserved: list[tuple[int, str]] = []
        in_pieces: list[str] = []
        keys: list[tuple[str, str, str, int, int]] = []
        for job, result in zip(jobs, results, strict=True):
            if result.duplicate:
                continue
            seq += 1
            e = job.event
            events.append(_event_row(seq, job))
            if job.in_pieces:
                in_pieces.append(e.id)
            alone += [(name, seq) for name in job.alone]
            deliveries += planned_rows(seq, job.plan, job.ruleset, e.received_at, ordered, grouped)
            if job.reserved:
                reserved += [(ms, id_) for id_, ms in job.reserved.items()]
            if job.plan and e.dedupe_key is not None and job.window > 0:
                keys.append((e.source, e.dedupe_key, e.id, e.received_at, e.received_at + job.window))
        write_rows(connection, _INSERT_EVENT, events)
        refer(connection, in_pieces)
        insert_planned(connection, deliveries, last, due, grouped, reserved)
        write_rows(connection, _INSERT_ALONE, alone)
        dedupe.bind(connection, keys)
        return results


_NEWEST = f"SELECT {NEWEST_EVENT}, coalesce((SELECT max(seq) FROM delivery), 0)"  # noqa: S608 - constants

_INSERT_EVENT = "INSERT INTO event SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL"


_INSERT_ALONE = "INSERT OR IGNORE INTO matched_alone SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL"


def _event_row(seq: int, job: AppendEvent) -> tuple[Any, ...]:
    e = job.event
    headers, matched = orjson.dumps(e.headers).decode(), orjson.dumps(job.matched).decode()
    errors = orjson.dumps(job.errors).decode() if job.errors else None
    body, size = (b"", len(e.body)) if job.in_pieces else (e.body, None)
    facts = (seq, e.id, e.source, e.method, e.path, e.query, headers, body, e.ip, e.received_at, e.dedupe_key)
    return (*facts, job.ruleset, matched, errors, size)


def is_duplicate(connection: apsw.Connection, job: AppendEvent) -> bool:
    """Whether the event is a copy of a stored one."""
    return _find_duplicates(connection, [job])[0].duplicate


def _find_duplicates(connection: apsw.Connection, jobs: Sequence[AppendEvent]) -> list[Appended]:
    """For each job, the event's own id or that of the first event with its dedupe key, in this batch or stored
    before."""
    keys = {
        (job.event.source, key): None for job in jobs if (key := job.event.dedupe_key) is not None and job.window > 0
    }
    firsts = dedupe.firsts(connection, list(keys))
    results: list[Appended] = []
    for job in jobs:
        event = job.event
        if event.dedupe_key is None or job.window <= 0:
            results.append(Appended(event.id))
            continue
        first = firsts.get((event.source, event.dedupe_key))
        if first is not None and first[1] > event.received_at - job.window:
            results.append(Appended(first[0], duplicate=True))
            continue
        if job.plan:  # an event that plans nothing doesn't reserve its key
            firsts[event.source, event.dedupe_key] = (event.id, event.received_at)
        results.append(Appended(event.id))
    return results
