"""The store in one SQLite file, as the daemon that owns it uses it."""

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import apsw

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.errors import StoreError
from router.domain.events import Appended, Event
from router.domain.groups import Skipped
from router.domain.holds import HoldName
from router.domain.own_events import Gathered, Notice
from router.domain.summaries import Pruned
from router.store.contract import CommitListener, Due, StoreFaults
from router.store.sqlite.connection import cause_of, connect
from router.store.sqlite.file_trust import check_link
from router.store.sqlite.jobs import last_claims
from router.store.sqlite.jobs.append import AppendEvent
from router.store.sqlite.jobs.claim import ClaimDue
from router.store.sqlite.jobs.claim_one import ClaimOne, Unreserve
from router.store.sqlite.jobs.give_back import GiveBack
from router.store.sqlite.jobs.holds import MARKED_ACTIONS, LetGo, MarkHeld, MarkIds, PutFileHolds
from router.store.sqlite.jobs.job import WriteJob
from router.store.sqlite.jobs.notes import PutNote
from router.store.sqlite.jobs.notices import FIND_GATHERED, Tell, TellGathered
from router.store.sqlite.jobs.poll import ForgetPolls
from router.store.sqlite.jobs.prune import Prune
from router.store.sqlite.jobs.rulesets import PutRuleset
from router.store.sqlite.jobs.settle import Settle
from router.store.sqlite.jobs.shorten_waits import ShortenWaits
from router.store.sqlite.opening import lock_store, prepare_owned
from router.store.sqlite.operator_store import OperatorMethods
from router.store.sqlite.recovery import release_running
from router.store.sqlite.targets import DUE
from router.store.sqlite.writer import Writer

T = TypeVar("T")


class SqliteStore(OperatorMethods):
    """Implements Store. Any thread may read, each on its own connection, and write."""

    def __init__(self, path: Path, *, on_commit: CommitListener = lambda *_: None) -> None:
        """Own the store: take its lock, create a missing file, and release the claims of a dead owner.

        Raises StoreError, or StoreInUse while another daemon owns the file.
        """
        check_link(path)
        real = Path(os.path.realpath(path))
        self._listener: Callable[[Due], None] = lambda _: None
        self._holds_listener: Callable[[], None] = lambda: None
        self._skipped_listener: Callable[[Sequence[Skipped]], None] = lambda _: None
        self._closing = threading.Lock()
        self._closed = False
        self._lock = lock_store(real)
        try:
            prepare_owned(real, self._lock)
            super().__init__(path)
            self._writer = self._start(on_commit)
        except BaseException:
            self._lock.release()
            raise

    def _start(self, on_commit: CommitListener) -> Writer:
        try:
            connection = connect(self._path)
            try:
                release_running(connection)
            finally:
                connection.close()
            return Writer(self._path, self._report_due, on_commit, self._report_holds, self._report_skipped)
        except apsw.Error as error:
            raise StoreError(f"the store {self._path} can't be written: {cause_of(error)}") from None

    @property
    def fleet(self) -> None:
        """See Store.fleet."""
        return None

    def changed_by_others(self, *, alone: bool) -> None:
        """See Store.changed_by_others."""

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
        return self._submit(AppendEvent(event, plan, ruleset, dedupe_window, matched, errors, reserved))

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
        return last_claims.read(self._read(last_claims.FIND))

    def settle(self, settlements: Sequence[Settlement]) -> "Future[list[State | None]]":
        """See Store.settle."""
        return self._submit(Settle(settlements))

    def release(self, claim: Claim, *, held: bool = False) -> "Future[bool]":
        """See Store.release."""
        return self._submit(GiveBack(claim, held=held))

    def refile(self, claim: Claim, target: str) -> "Future[bool]":
        """See Store.refile."""
        return self._submit(GiveBack(claim, target))

    def due(self, types: Collection[str] = ()) -> Due:  # noqa: ARG002 - one daemon delivers all types
        """See Store.due."""
        return {str(target): int(str(at)) for target, at in self._read(DUE)}

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
        return [(str(rule), str(action)) for rule, action in self._read(MARKED_ACTIONS)]

    def put_note(self, name: str, value: str) -> "Future[None]":
        """See Store.put_note."""
        return self._submit(PutNote(name, value))

    def tell(self, notice: Notice) -> "Future[bool]":
        """See Store.tell."""
        return self._submit(Tell(notice))

    def gathered(self, now: int) -> list[Gathered]:
        """See Store.gathered."""
        rows = self._read(FIND_GATHERED, (now,))
        return [Gathered(str(k), str(s), int(str(at)), int(str(n)), str(last)) for k, s, at, n, last in rows]

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
        """See Store.faults. With one writer there are no deadlocks."""
        return StoreFaults(self._writer.errors)

    def writable(self) -> bool:
        """See Store.writable."""
        return self._writer.alive and self._writer.healthy and not self._writer.stalled

    def close(self) -> None:
        """Close, in this order: the writer's thread, so that the queued writes are committed; the readers; the writer's
        connection, which folds the write-ahead log when it is the last one; and the lock, so that no other daemon opens
        the file before this one has closed it."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                self._writer.stop()
                self._connections.close()
                self._writer.disconnect()
            finally:
                self._lock.release()

    def _told(self, future: "Future[T]") -> "Future[T]":
        future.add_done_callback(lambda _: self._report_holds())
        return future

    def _report_holds(self) -> None:
        self._holds_listener()

    def _report_skipped(self, skips: Sequence[Skipped]) -> None:
        self._skipped_listener(skips)

    def _submit(self, job: WriteJob) -> "Future[Any]":
        return self._writer.submit(job)

    def _report_due(self, due: Due) -> None:
        self._listener(due)
