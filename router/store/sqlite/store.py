"""The store in one SQLite file, for one machine."""

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import apsw

from router.domain.deliveries import Attempt, Claim, Delivery, PlannedDelivery, RulesetText, Settlement
from router.domain.errors import StoreError, StoreUnavailable
from router.domain.events import Appended, Event
from router.domain.queries import Arrival, Depth, EndedPage, EventFilter, EventHead, Filter, Pruned, StreamPosition
from router.store.contract import PAGE, Due
from router.store.sqlite import following, last_claims
from router.store.sqlite.clock_repair import Shorten
from router.store.sqlite.file import cause_of, check_link, connect, prepare, take
from router.store.sqlite.job import WriteJob
from router.store.sqlite.jobs import AppendEvent, ClaimDue, GiveBack, PutRuleset, Settle, SettleAll
from router.store.sqlite.maintenance import Prune, PutNote
from router.store.sqlite.operator_connection import OperatorConnection
from router.store.sqlite.operator_jobs import Cancel, PlanAgain, Replay
from router.store.sqlite.queries import (
    DEPTHS,
    DUE,
    EVENT_HEADS,
    depths,
    event_floor,
    event_where,
    first_id,
    floor,
    page,
    where,
)
from router.store.sqlite.readers import Readers
from router.store.sqlite.recovery import release_running
from router.store.sqlite.rows import (
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    attempt_row,
    delivery_row,
    event_head_row,
    event_row,
)
from router.store.sqlite.writer import CommitNote, Writer


class SqliteStore:
    """Implements the Store protocol. Any thread may read, each on its own connection; and write, if we own the file."""

    def __init__(
        self, path: Path, *, create: bool = True, own: bool = True, on_commit: CommitNote = lambda *_: None
    ) -> None:
        """Open. The owner (a daemon) takes the lock, may create the file, and releases what a dead owner held;
        others read, and do what operators do. `on_commit` is told of the owner's transactions. Raises StoreError, or
        StoreInUse while another daemon owns the file.
        """
        if own:
            check_link(path)
        path = Path(os.path.realpath(path))  # one file has one lock, whatever links lead to it
        self._path = path
        self._listener: Callable[[Due], None] = lambda _: None
        self._readers = Readers(path)
        self._closing = threading.Lock()
        self._closed = False
        self._lock = take(path) if own else None
        try:
            prepare(path, create=create and own, own=self._lock)
            self._writer = self._start(on_commit) if own else None
            self._visitor = OperatorConnection(path)
        except BaseException:
            if self._lock:
                self._lock.release()
            raise

    def _start(self, on_commit: CommitNote) -> Writer:
        try:
            connection = connect(self._path)
            try:
                release_running(connection)
            finally:
                connection.close()
            return Writer(self._path, self._tell, on_commit)
        except apsw.Error as error:
            raise StoreError(f"the store {self._path} can't be written: {cause_of(error)}") from None

    def append(
        self, event: Event, plan: Sequence[PlannedDelivery], ruleset: str, *, dedupe_window: int = 0
    ) -> "Future[Appended]":
        """See Store.append."""
        return self._submit(AppendEvent(event, plan, ruleset, dedupe_window))

    def put_ruleset(self, ruleset: RulesetText, now: int) -> "Future[None]":
        """See Store.put_ruleset."""
        return self._submit(PutRuleset(ruleset, now))

    def claim(self, wanted: Mapping[str, int], now: int, paced: Collection[str] = ()) -> "Future[list[Claim]]":
        """See Store.claim."""
        return self._submit(ClaimDue(dict(wanted), now, frozenset(paced)))

    def last_claims(self) -> dict[str, int]:
        """See Store.last_claims."""
        return last_claims.read(self._read(last_claims.FIND))

    def settle(self, settlement: Settlement) -> "Future[bool]":
        """See Store.settle."""
        return self._submit(Settle(settlement))

    def settle_all(self, settlements: Sequence[Settlement]) -> "Future[list[bool]]":
        """See Store.settle_all."""
        return self._submit(SettleAll(settlements))

    def release(self, claim: Claim) -> "Future[bool]":
        """See Store.release."""
        return self._submit(GiveBack(claim))

    def refile(self, claim: Claim, target: str) -> "Future[bool]":
        """See Store.refile."""
        return self._submit(GiveBack(claim, target))

    def replay(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """See Store.replay."""
        return self._operate(Replay(delivery_ids, now))

    def cancel(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """See Store.cancel."""
        return self._operate(Cancel(delivery_ids, now))

    def plan_again(
        self, event_id: str, plan: Sequence[PlannedDelivery], ruleset: RulesetText, now: int
    ) -> "Future[bool]":
        """See Store.plan_again."""
        return self._operate(PlanAgain(event_id, plan, ruleset, now))

    def put_note(self, name: str, value: str) -> "Future[None]":
        """See Store.put_note."""
        return self._submit(PutNote(name, value))

    def prune(self, before: int, dead_before: int, after: int = 0) -> "Future[Pruned]":
        """See Store.prune."""
        return self._submit(Prune(before, dead_before, after))

    def _submit(self, job: WriteJob) -> "Future[Any]":
        if self._writer is None:
            return _refused(
                StoreUnavailable("the store is closed")
                if self._closed
                else StoreError(f"the store {self._path} is open for reading and an operator's commands only")
            )
        return self._writer.submit(job)

    def _operate(self, job: WriteJob) -> "Future[Any]":
        if self._writer is not None or self._closed:
            return self._submit(job)
        return self._visitor.submit(job)

    def due(self) -> Due:
        """See Store.due."""
        return {str(target): int(str(at)) for target, at in self._read(DUE)}

    def on_due(self, listener: Callable[[Due], None]) -> None:
        """See Store.on_due."""
        self._listener = listener

    def _tell(self, due: Due) -> None:
        self._listener(due)

    def event(self, event_id: str) -> Event | None:
        """See Store.event."""
        rows = self._read(_EVENTS + " WHERE id = ?", (event_id,))
        return event_row(rows[0]) if rows else None

    def events(self, *, limit: int = 100, before: str | None = None) -> list[Event]:
        """See Store.events."""
        if before is None:
            rows = self._read(_EVENTS + " ORDER BY seq DESC LIMIT ?", (limit,))
        else:
            rows = self._read(_EVENTS + _OLDER, (before, limit))
        return [event_row(row) for row in rows]

    def event_heads(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
    ) -> list[EventHead]:
        """See Store.event_heads."""
        sql, values = page(event_where(which), "e", event_floor(which), after, newest_first=newest_first)
        return [event_head_row(row) for row in self._read(EVENT_HEADS + sql, (*values, limit))]

    def count_events(self, which: EventFilter) -> int:
        """See Store.count_events."""
        condition, values = event_where(which)
        return int(self._read(f"SELECT count(*) FROM event e WHERE {condition}", values)[0][0])  # noqa: S608 - constants

    def delivery(self, delivery_id: str) -> Delivery | None:
        """See Store.delivery."""
        rows = self._read(_DELIVERIES + " WHERE d.id = ?", (delivery_id,))
        return delivery_row(rows[0]) if rows else None

    def deliveries(
        self,
        which: Filter = Filter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
    ) -> list[Delivery]:
        """See Store.deliveries."""
        sql, values = page(where(which), "d", floor(which), after, newest_first=newest_first)
        return [delivery_row(row) for row in self._read(_DELIVERIES + sql, (*values, limit))]

    def count(self, which: Filter) -> int:
        """See Store.count."""
        condition, values = where(which)
        event = "JOIN event e ON e.seq = d.event" if which.source is not None or which.event_id is not None else ""
        rows = self._read(f"SELECT count(*) FROM delivery d {event} WHERE {condition}", values)  # noqa: S608 - constants
        return int(rows[0][0])

    def newest(self) -> StreamPosition:
        """See Store.newest."""
        return StreamPosition(*self._read(following.NEWEST)[0])

    def place_of(self, since: int) -> StreamPosition:
        """See Store.place_of."""
        [(ended,)] = self._read(following.ENDED_BEFORE, (since,))  # before the events: what ends later comes after both
        [(event,)] = self._read(following.EVENTS_BEFORE, (first_id(since), since))
        return StreamPosition(event, ended)

    def arrivals(self, after: int, limit: int = PAGE) -> list[Arrival]:
        """See Store.arrivals."""
        return [following.arrival_row(row) for row in self._read(following.ARRIVALS, (after, limit))]

    def ended(self, after: int, limit: int = PAGE) -> EndedPage:
        """See Store.ended."""
        return following.ended_page(self._read(following.ENDED, (after, limit)), after, limit)

    def changes(self) -> int:
        """See Store.changes."""
        return int(self._read("PRAGMA data_version")[0][0])

    def depths(self) -> list[Depth]:
        """See Store.depths."""
        return depths(self._read(DEPTHS))

    def notes(self) -> dict[str, str]:
        """See Store.notes."""
        return {str(name): str(value) for name, value in self._read("SELECT name, value FROM note")}

    def shorten_waits(self, now: int, after: int = 0) -> "Future[int | None]":
        """See Store.shorten_waits."""
        return self._submit(Shorten(now, after))

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """See Store.attempts."""
        sql = (
            "SELECT d.id, a.number, a.started_at, a.finished_at, a.outcome, a.status, a.error, a.excerpt"
            " FROM attempt a JOIN delivery d ON d.seq = a.delivery WHERE d.id = ? ORDER BY a.number"
        )
        return [attempt_row(row) for row in self._read(sql, (delivery_id,))]

    def ruleset(self, ruleset_hash: str) -> RulesetText | None:
        """See Store.ruleset."""
        rows = self._read("SELECT hash, text, base_dir FROM ruleset WHERE hash = ?", (ruleset_hash,))
        return RulesetText(*rows[0]) if rows else None

    def ids_from(self, kind: Literal["event", "delivery"], beginning: str, limit: int) -> list[str]:
        """See Store.ids_from."""
        # An id's characters are hexadecimal digits and dashes: all of them come before g.
        sql = f"SELECT id FROM {kind} WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
        return [row[0] for row in self._read(sql, (beginning, f"{beginning}g", limit))]

    def recent_names(self) -> list[tuple[str, str, str, str]]:
        """See Store.recent_names."""
        return [(row[0], row[1], row[2], row[3]) for row in self._read(_RECENT_NAMES)]

    def waiting(self, rules: Iterable[str]) -> dict[str, int]:
        """See Store.waiting."""
        counts = {}
        for rule in rules:
            sql = "SELECT count(*) FROM delivery WHERE rule = ? AND state IN ('pending', 'running')"
            count = int(self._read(sql, (rule,))[0][0])
            if count:
                counts[rule] = count
        return counts

    @property
    def alive(self) -> bool:
        """Whether the writer's thread runs, even when a full disk lets it commit nothing."""
        return self._writer is not None and self._writer.alive

    def writable(self) -> bool:
        """See Store.writable."""
        writer = self._writer
        return writer is not None and writer.alive and writer.healthy and not writer.stalled

    def close(self) -> None:
        """Close: the writer's threads first, so that what has queued is committed; then the readers, and only then
        the writer's connection, because the last one to go has to be able to fold the WAL; the lock last, so that
        nobody else opens the file before we have let go of it."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                if self._writer is not None:
                    self._writer.stop()
                self._readers.close()
                self._visitor.close()
                if self._writer is not None:
                    self._writer.disconnect()
            finally:
                if self._lock is not None:
                    self._lock.release()

    def _read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._readers.read(sql, bindings)


def _refused(error: StoreError) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


#: Of the last ones only: a look at all would take seconds in a large store.
_RECENT_NAMES = """
SELECT DISTINCT e.source, d.rule, d.action, d.target
    FROM (SELECT event, rule, action, target FROM delivery ORDER BY seq DESC LIMIT 5000) d
    JOIN event e ON e.seq = d.event
UNION
SELECT DISTINCT source, '', '', '' FROM (SELECT source FROM event ORDER BY seq DESC LIMIT 5000)
"""
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM event e"  # noqa: S608 - constants
_OLDER = " WHERE seq < (SELECT seq FROM event WHERE id = ?) ORDER BY seq DESC LIMIT ?"
_DELIVERIES = f"SELECT {DELIVERY_COLUMNS} FROM delivery d JOIN event e ON e.seq = d.event"  # noqa: S608 - constants
