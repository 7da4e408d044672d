"""The store in a PostgreSQL database, as a daemon uses it."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import psycopg

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Appended, Event
from router.domain.groups import Skipped
from router.domain.holds import HoldName
from router.domain.own_events import Gathered, Notice
from router.domain.summaries import Pruned
from router.store.contract import CommitListener, Due, StoreFaults
from router.store.fleet import Fleet
from router.store.postgres.arrays import restored
from router.store.postgres.faults import reason
from router.store.postgres.fleet import PostgresFleet
from router.store.postgres.jobs.append import AppendEvent
from router.store.postgres.jobs.claim import ClaimDue
from router.store.postgres.jobs.claim_one import ClaimOne, Unreserve
from router.store.postgres.jobs.give_back import GiveBack
from router.store.postgres.jobs.holds import MARKED_ACTIONS, LetGo, MarkHeld, MarkIds, PutFileHolds
from router.store.postgres.jobs.job import WriteJob
from router.store.postgres.jobs.notes import PutNote
from router.store.postgres.jobs.notices import FIND_GATHERED, Tell, TellGathered
from router.store.postgres.jobs.poll import ForgetPolls
from router.store.postgres.jobs.prune import Prune
from router.store.postgres.jobs.rulesets import PutRuleset
from router.store.postgres.jobs.settle import Settle
from router.store.postgres.jobs.shorten_waits import ShortenWaits
from router.store.postgres.opening import prepare
from router.store.postgres.operator_store import OperatorMethods
from router.store.postgres.targets import DUE
from router.store.postgres.url import PostgresUrl
from router.store.postgres.writer import Writer, WriterListeners

T = TypeVar("T")
LARGE_BYTES = 256 * 1024  #: a larger body is appended over a connection of its own


class PostgresStore(OperatorMethods):
    """Implements Store. Any thread may read and write."""

    def __init__(self, url: PostgresUrl, *, on_commit: CommitListener = lambda *_: None) -> None:
        """Join the store. A missing schema is created. Raises StoreError."""
        self._listener: Callable[[Due], None] = lambda _: None
        self._holds_listener: Callable[[], None] = lambda: None
        self._skipped_listener: Callable[[Sequence[Skipped]], None] = lambda _: None
        self._closing = threading.Lock()
        self._closed = False
        prepare(url)
        super().__init__(url)
        try:
            self._writer = Writer(url, 0, WriterListeners(self._report_due, on_commit, self._report_skipped))
        except psycopg.Error as error:
            self._connections.close()
            raise StoreError(f"the store {url} can't be written: {reason(error)}") from None
        self._url = url
        self._on_commit = on_commit
        self._large: Writer | None = None  #: the writer of large bodies; guarded by _closing
        self._fleet = PostgresFleet(url, self._submit, self._writer.claim_as)

    @property
    def fleet(self) -> Fleet:
        """See Store.fleet."""
        return self._fleet

    def changed_by_others(self, *, alone: bool) -> None:
        """See Store.changed_by_others."""
        self._writer.look_again(alone=alone)
        self._holds_listener()

    def append(
        self,
        event: Event,
        plan: Sequence[PlannedDelivery],
        ruleset: str,
        *,
        matched: Sequence[str] = (),
        errors: Sequence[tuple[str, str]] = (),
        dedupe_window: int = 0,
        reserved: Mapping[str, int] | None = None,
    ) -> "Future[Appended]":
        """See Store.append."""
        job = AppendEvent(event, plan, ruleset, dedupe_window, matched, errors, reserved)
        return self._append_large(job) if len(event.body) > LARGE_BYTES else self._submit(job)

    def put_ruleset(self, ruleset: RulesetText, now: int) -> "Future[None]":
        """See Store.put_ruleset."""
        return self._submit(PutRuleset(ruleset, now))

    def claim(self, wanted: Mapping[str, int], now: int, recorded: Collection[str] = ()) -> "Future[list[Claim]]":
        """See Store.claim."""
        return self._submit(ClaimDue(dict(wanted), now, frozenset(recorded)))

    def claim_one(self, delivery_id: str, now: int, recorded: Collection[str] = ()) -> "Future[Claim | None]":
        """See Store.claim_one."""
        return self._submit(ClaimOne(delivery_id, now, frozenset(recorded)))

    def unreserve(self, delivery_id: str, now: int) -> "Future[None]":
        """See Store.unreserve."""
        return self._submit(Unreserve(delivery_id, now))

    def last_claims(self) -> dict[str, int]:
        """See Store.last_claims."""
        return dict(self._read(_LAST_CLAIMS))

    def settle(self, settlements: Sequence[Settlement]) -> "Future[list[State | None]]":
        """See Store.settle."""
        return self._submit(Settle(settlements))

    def release(self, claim: Claim, *, held: bool = False) -> "Future[bool]":
        """See Store.release."""
        return self._submit(GiveBack(claim, held=held))

    def refile(self, claim: Claim, target: str) -> "Future[bool]":
        """See Store.refile."""
        return self._submit(GiveBack(claim, target))

    def due(self, types: Collection[str] = ()) -> Due:
        """See Store.due."""
        return {target: at for target, at, type_ in self._read(DUE) if not types or type_ in types}

    def on_due(self, listener: Callable[[Due], None]) -> None:
        """See Store.on_due."""
        self._listener = listener

    def on_skipped(self, listener: Callable[[Sequence[Skipped]], None]) -> None:
        """See Store.on_skipped."""
        self._skipped_listener = listener

    def on_holds(self, listener: Callable[[], None]) -> None:
        """See Store.on_holds."""
        self._holds_listener = listener

    def pause(self, target: str, until: int | None, now: int) -> "Future[None]":
        """See OperatorStore.pause."""
        return self._told(super().pause(target, until, now))

    def resume(self, target: str, now: int) -> "Future[bool]":
        """See OperatorStore.resume."""
        return self._told(super().resume(target, now))

    def put_file_holds(self, names: Collection[HoldName], now: int) -> "Future[None]":
        """See Store.put_file_holds."""
        return self._submit(PutFileHolds(names, now))

    def mark_held(self, rule: str, action: str | None, after: int = 0) -> "Future[int | None]":
        """See Store.mark_held."""
        return self._submit(MarkHeld(rule, action, after))

    def mark_ids(self, delivery_ids: Sequence[str]) -> "Future[None]":
        """See Store.mark_ids."""
        return self._submit(MarkIds(delivery_ids))

    def let_go(self, rule: str, action: str) -> "Future[bool]":
        """See Store.let_go."""
        return self._submit(LetGo(rule, action))

    def marked_actions(self) -> list[tuple[str, str]]:
        """See Store.marked_actions."""
        return [(rule, action) for rule, action in self._read(MARKED_ACTIONS)]

    def put_note(self, name: str, value: str) -> "Future[None]":
        """See Store.put_note."""
        return self._submit(PutNote(name, value))

    def tell(self, notice: Notice) -> "Future[bool]":
        """See Store.tell."""
        return self._submit(Tell(notice))

    def gathered(self, now: int) -> list[Gathered]:
        """See Store.gathered."""
        rows = self._read(FIND_GATHERED, (now,))
        return [Gathered(kind, restored(subject), at, count, restored(last)) for kind, subject, at, count, last in rows]

    def tell_gathered(self, gathered: Gathered, notice: Notice | None, now: int) -> "Future[bool]":
        """See Store.tell_gathered."""
        return self._submit(TellGathered(gathered, notice, now))

    def forget_polls(self, sources: Sequence[str]) -> "Future[None]":
        """See Store.forget_polls."""
        return self._submit(ForgetPolls(sources))

    def prune(self, before: int, dead_before: int, after: int = 0, *, source: str | None = None) -> "Future[Pruned]":
        """See Store.prune."""
        return self._submit(Prune(before, dead_before, after, source))

    def shorten_waits(self, now: int, after: int = 0) -> "Future[int | None]":
        """See Store.shorten_waits."""
        return self._submit(ShortenWaits(now, after))

    @property
    def alive(self) -> bool:
        """See Store.alive."""
        return self._writer.alive

    def faults(self) -> StoreFaults:
        """See Store.faults."""
        writers = [self._writer] if self._large is None else [self._writer, self._large]
        return StoreFaults(sum(one.errors for one in writers), sum(one.deadlocks for one in writers))

    def writable(self) -> bool:
        """See Store.writable."""
        return self._writer.alive and self._writer.healthy and not self._writer.stalled

    def close(self) -> None:
        """Close: the writer, so that the queued writes are committed; then the readers."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            if self._large is not None:
                self._large.stop()
            self._writer.stop()
            self._fleet.close()
            self._connections.close()

    def _told(self, future: "Future[T]") -> "Future[T]":
        future.add_done_callback(lambda _: self._holds_listener())
        return future

    def _append_large(self, job: AppendEvent) -> "Future[Any]":
        """Append over a connection of its own: 25 MB take the server half a second, and other events must not wait for
        it."""
        with self._closing:
            if self._large is None and not self._closed:
                listeners = WriterListeners(self._report_large_due, self._on_commit, self._report_skipped)
                self._large = Writer(self._url, 0, listeners, connects=False)
            writer = self._large or self._writer
        return writer.submit(job)

    def _report_large_due(self, due: Due) -> None:
        self._writer.forget_marks()
        self._report_due(due)

    def _submit(self, job: WriteJob) -> "Future[Any]":
        return self._writer.submit(job)

    def _report_skipped(self, skips: Sequence[Skipped]) -> None:
        self._skipped_listener(skips)

    def _report_due(self, due: Due) -> None:
        self._listener(due)


_LAST_CLAIMS = """
SELECT name, last_claim_at FROM webhook_router.target WHERE last_claim_at IS NOT NULL
ORDER BY last_claim_at DESC LIMIT 1000
"""
