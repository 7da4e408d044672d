"""Group commit: one thread writes all queued jobs in one transaction, with one fsync for all of them."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import structlog

from router.domain.errors import StoreError, StoreUnavailable
from router.domain.groups import Skipped
from router.runtime.wakeups import gathered
from router.store.changes import Changes
from router.store.contract import CommitListener, Due
from router.store.sqlite.checkpoint import Checkpointer
from router.store.sqlite.claimed_bodies import ClaimedBodies
from router.store.sqlite.connection import connect
from router.store.sqlite.disk import file_identity, free_bytes
from router.store.sqlite.jobs.append import AppendEvent
from router.store.sqlite.jobs.claim import ClaimDue
from router.store.sqlite.jobs.claim_one import ClaimOne
from router.store.sqlite.jobs.commit_probe import CommitProbe
from router.store.sqlite.jobs.job import WriteJob
from router.store.sqlite.large_bodies import BeginLarge, LargeBodies
from router.store.sqlite.targets import DUE
from router.store.write_queue import WriteQueue

STALLED_SECONDS = 5.0  #: of one transaction; beyond this, appends are refused at once and don't queue
NOTICE_SECONDS = 0.2  #: how often the writer checks for commits of an operator's command; a check takes 3 µs
PROBE_SECONDS = 1.0  #: how often an idle writer whose commits fail tries again
FULL_DISK_PROBE_SECONDS = 10.0  #: the same for a writer whose last commit worked although its disk looks full
LOW_BYTES = 1024 * 1024  #: of free space; with less the disk looks full
_PROBE_ROOM = 256 * 1024  #: bytes that must fit before the store counts as healthy again; fewer may fit by chance
_WAL_KEPT = 64 * 1024 * 1024  #: bytes to which the write-ahead log is cut after a long reader let it grow

log = structlog.get_logger()

Batch = list[tuple[WriteJob, "Future[Any]"]]

# Errors of a single row.
_UNSTORABLE = (apsw.Error, ValueError, TypeError, OverflowError)


class _FileGone(Exception):
    """The store's name leads to another file than the open one, or to no file."""


# Errors of the file or the disk, which may be gone at the next try.
_UNAVAILABLE = (
    _FileGone,
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.NoMemError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ProtocolError,
    apsw.PermissionsError,
    apsw.InterruptError,
    MemoryError,
)


class Writer:
    """Owns the writing connection. `submit` and `stop` may be called from any thread."""

    def __init__(
        self,
        path: Path,
        listener: Callable[[Due], None],
        on_commit: CommitListener,
        others_committed: Callable[[], None] = lambda: None,
        on_skipped: Callable[[Sequence[Skipped]], None] = lambda _: None,
    ) -> None:
        self._on_skipped = on_skipped
        self._listener = listener
        self._others_committed = others_committed
        self._on_commit = on_commit
        self._queue: WriteQueue[WriteJob | BeginLarge] = WriteQueue(goes_on=BeginLarge)
        self._writing_since: float | None = None  #: monotonic; of the current transaction
        self._took = 0.0  #: seconds, of the last transaction
        self.healthy = True
        self.errors = 0  #: failed transactions
        self._probed_at = float("-inf")
        self._path = path
        self._connection = connect(path)
        self._file = file_identity(path)
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # the checkpointer folds the log, beside the commits
        self._connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        self._others = self._commits_of_others()
        self._noticed_at = time.monotonic()
        self._checkpointer = Checkpointer(path)
        self._bodies = ClaimedBodies(path)
        self._large = LargeBodies(self._connection, self._write, self._queue.let_go)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def stalled(self) -> bool:
        """Whether the current transaction takes so long that appends are refused. Any thread may ask."""
        since = self._writing_since
        return since is not None and time.monotonic() - since > STALLED_SECONDS

    def submit(self, job: WriteJob) -> "Future[Any]":
        """Queue a job."""
        if type(job) is AppendEvent and job.is_large:
            stored: Future[Any] = Future()
            begun = self._queue.put(BeginLarge(job, stored), stalled=self.stalled)
            begun.add_done_callback(partial(_refused, stored))
            return stored
        return self._queue.put(job, stalled=self.stalled)

    def stop(self) -> None:
        """Commit the queued jobs, then end the threads: the writer first, since it hands work to the checkpointer.

        Later jobs are refused.
        """
        self._queue.close()
        self._thread.join()
        self._checkpointer.close()
        self._bodies.close()

    def disconnect(self) -> None:
        """Close the connection, after `stop`. When it is the last one, SQLite folds the write-ahead log into the
        database and removes it."""
        self._connection.close()

    def _run(self) -> None:
        batch: Batch = []
        try:
            while (taken := self._queue.take(min(NOTICE_SECONDS, self._large.pause))) is not None or self._large:
                if batch := self._without_large(taken or []):
                    self._write(batch)
                elif not self._large:
                    self._probe()
                self._large.step()
                self._notice()
        finally:  # however the thread ends, every future must be done
            left = self._queue.drain()
            ended = StoreUnavailable("the store's writer has ended")
            _fail([*batch, *left], ended)
            self._large.fail_all(ended)

    def _without_large(self, taken: "list[tuple[WriteJob | BeginLarge, Future[Any]]]") -> Batch:
        """The jobs for the next transaction. Large bodies go to their own lane."""
        batch: Batch = []
        for job, future in taken:
            if isinstance(job, BeginLarge):
                self._large.add(job)
                future.set_result(None)
            else:
                batch.append((job, future))
        return batch

    def _probe(self) -> None:
        """Try a commit when the store is unhealthy or looks so.

        Readiness depends on `healthy`. Without traffic no other commit would notice a full disk or a removed file, or
        that it works again.
        """
        if time.monotonic() < self._probed_at + (FULL_DISK_PROBE_SECONDS if self.healthy else PROBE_SECONDS):
            return
        if self.healthy and self._looks_healthy():
            return
        self._probed_at = time.monotonic()
        self._write([(CommitProbe(_PROBE_ROOM), Future())])
        if self.healthy:
            self._write([(CommitProbe(0), Future())])  # removes the probe's row

    def _looks_healthy(self) -> bool:
        """Whether the disk has room and the file is the open one. Writes nothing: only a failed commit proves more."""
        try:
            return free_bytes(self._path) >= LOW_BYTES and file_identity(self._path) == self._file
        except OSError:
            return False

    def _notice(self) -> None:
        """Report deliveries that another process made due. Its commits bypass the queue."""
        if time.monotonic() < self._noticed_at + NOTICE_SECONDS:
            return
        self._noticed_at = time.monotonic()
        with contextlib.suppress(apsw.Error):  # the next check tries again
            others = self._commits_of_others()
            if others != self._others:
                self._others_committed()
                due = {str(target): int(str(at)) for target, at in self._connection.execute(DUE)}
                self._report(lambda: self._listener(due))
                self._others = others

    def _commits_of_others(self) -> int:
        """A counter that changes with each commit of another connection."""
        return int(str(self._connection.pragma("data_version")))

    def _write(self, batch: Batch) -> None:
        changes = Changes()
        try:
            results = self._transaction([job for job, _ in batch], changes)
        except _UNAVAILABLE as error:
            self._rollback()
            self.errors += 1
            if self.healthy:
                log.error("store can't commit; requests are answered 503 until it can", error=str(error))
            self.healthy = False
            _fail(batch, StoreUnavailable(f"the store can't commit: {error}"))
            return
        except Exception as error:  # noqa: BLE001 - one job's fault, a bug included, must not fail the other jobs
            fault = error
        else:
            self._committed(batch, results, changes)
            return
        self._rollback()
        if len(batch) > 1:
            # Try halves, in order, so that one bad row among many costs few commits.
            self._write(batch[: len(batch) // 2])
            self._write(batch[len(batch) // 2 :])
            return
        _fail(batch, StoreError(f"this can't be stored: {_reason(fault)}"))

    def _committed(self, batch: Batch, results: list[Any], changes: Changes) -> None:
        # On a full disk a small commit sometimes fits. It proves no free space: `healthy` would change with each event.
        if not self.healthy and (self._looks_healthy() or _has_probe(batch)):
            log.info("store commits again")
            self.healthy = True
        with gathered():
            for (job, future), result in zip(batch, results, strict=True):
                if changes.bodies and isinstance(job, ClaimDue | ClaimOne):
                    self._bodies.put(future, result, changes.bodies)
                else:
                    future.set_result(result)
            if changes.due:
                self._report(lambda: self._listener(changes.due))
            if changes.skips:
                self._report(lambda: self._on_skipped(changes.skips))
        self._on_commit(len(batch), self._took)
        self._checkpointer.committed()
        self._checkpointer.fold_rest(self._connection, writes_large=bool(self._large))

    def _transaction(self, jobs: list[WriteJob], changes: Changes) -> list[Any]:
        began = self._writing_since = time.monotonic()
        try:
            return self._commit(jobs, changes)
        finally:
            self._writing_since = None
            self._took = time.monotonic() - began

    def _commit(self, jobs: list[WriteJob], changes: Changes) -> list[Any]:
        # Jobs of one kind run together, since a dozen cost hardly more than one. Nobody sees in which order the jobs of
        # one transaction ran, as long as those of a kind keep theirs. Claims run last, so that they see what others
        # made due.
        kinds: dict[type[WriteJob], list[int]] = {}
        for index, job in enumerate(jobs):
            kinds.setdefault(type(job), []).append(index)
        results: list[Any] = [None] * len(jobs)
        # A commit to a removed file is lost when this process ends, so it must not count as durable.
        if file_identity(self._path) != self._file:
            raise _FileGone(f"{self._path} was removed or replaced; put it back, or restart the daemon")
        self._connection.execute("BEGIN IMMEDIATE")
        for kind in sorted(kinds, key=lambda kind: kind is ClaimDue):
            done = kind.run(self._connection, [jobs[index] for index in kinds[kind]], changes)
            for index, result in zip(kinds[kind], done, strict=True):
                results[index] = result
        self._connection.execute("COMMIT")
        return results

    def _rollback(self) -> None:
        with contextlib.suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _report(self, report: Callable[[], None]) -> None:
        try:
            report()
        except Exception:  # a faulty listener must not end the writer
            log.exception("the store's listener failed")


def _reason(fault: Exception) -> str:
    if isinstance(fault, _UNSTORABLE):
        return str(fault)
    log.error("store writer failed by a fault of ours", exc_info=fault)
    return f"internal error ({type(fault).__name__})"


def _has_probe(batch: Batch) -> bool:
    return any(isinstance(job, CommitProbe) and job.room for job, _ in batch)


def _refused(stored: "Future[Any]", begun: "Future[None]") -> None:
    if (error := begun.exception()) is not None and stored.set_running_or_notify_cancel():
        stored.set_exception(error)


def _fail(jobs: Sequence[tuple[object, "Future[Any]"]], error: Exception) -> None:
    for _, future in jobs:
        if not future.done():
            future.set_exception(error)
