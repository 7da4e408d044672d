"""Group commit: one thread writes everything that has queued in one transaction, one fsync for all of it."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw
import structlog

from router.domain.errors import StoreError, StoreUnavailable
from router.runtime.wakeups import gathered
from router.store.contract import Due
from router.store.sqlite.checkpoint import Checkpointer
from router.store.sqlite.file import connect, disk_free
from router.store.sqlite.job import WriteJob
from router.store.sqlite.jobs import AppendEvent, ClaimDue, Probe
from router.store.sqlite.queries import DUE

BATCH = 512  #: jobs in one transaction; more would not save fsyncs worth mentioning, and delay the first answer
BATCH_BYTES = 16 * 1024 * 1024  #: of appends in one transaction, for the same reason; one larger job goes alone
MAX_WAITING_JOBS = 4096  #: appends that may wait; at some 5,000 a second that is about a second
MAX_WAITING_BYTES = 256 * 1024 * 1024  #: memory that waiting appends may take
STALLED_SECONDS = 5.0  #: of one transaction, after which appends are refused at once instead of piling up behind it
NOTICE_SECONDS = 0.2  #: how often it is looked whether an operator's command has written something; a look is 3 µs
PROBE_SECONDS = 1.0  #: how often a writer that can't commit and has nothing to do tries whether it can again
DOUBT_SECONDS = 10.0  #: the same for one that can commit as far as it knows, while its disk looks full
LOW_BYTES = 1024 * 1024  #: of room on the disk, below which it looks full
_PROBE_ROOM = 256 * 1024  #: bytes that must fit before we say so; with less we would change our mind at each event
_WAL_KEPT = 64 * 1024 * 1024  #: bytes that the WAL is cut back to after a long reader let it grow

Batch = list[tuple[WriteJob, "Future[Any]"]]
CommitNote = Callable[[int, float], None]
"""Told of each transaction, by the writer: how many jobs, how many seconds. It must be short, and must not fail."""

log = structlog.get_logger()

# What says "not this row".
_UNSTORABLE = (apsw.Error, ValueError, TypeError, OverflowError)


class _FileGone(Exception):
    """The store's name leads to another file than the one that is written, or to none."""


# What says "not now" rather than "not this row".
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
    """Owns the writing connection. `submit` and `close` may be called from any thread."""

    def __init__(self, path: Path, listener: Callable[[Due], None], on_commit: CommitNote) -> None:
        self._listener = listener
        self._on_commit = on_commit
        self._queue: deque[tuple[WriteJob, Future[Any]]] = deque()
        self._news = threading.Condition()
        self._closing = False
        self._waiting = 0
        self._bytes = 0
        self._writing_since: float | None = None  # monotonic, of the transaction that is under way
        self._took = 0.0  # seconds, of the last one
        self.healthy = True
        self._probed_at = float("-inf")
        self._path = path
        self._connection = connect(path)
        self._file = _file_at(path)
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # the checkpointer does it, off the commits' path
        self._connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        self._others = self._commits_of_others()
        self._noticed_at = time.monotonic()
        self._checkpointer = Checkpointer(path)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def stalled(self) -> bool:
        """Whether a transaction takes so long that nothing is taken any more; any thread may ask."""
        since = self._writing_since
        return since is not None and time.monotonic() - since > STALLED_SECONDS

    def submit(self, job: WriteJob) -> "Future[Any]":
        """Queue a job."""
        future: Future[Any] = Future()
        with self._news:
            if self._closing:
                future.set_exception(StoreUnavailable("the store is closed"))
                return future
            if isinstance(job, AppendEvent):
                # Only appends are refused: all else finishes work that was begun, and makes room.
                if self.stalled:
                    future.set_exception(StoreUnavailable("the disk does not answer"))
                    return future
                if self._waiting >= MAX_WAITING_JOBS or self._bytes + job.weight > MAX_WAITING_BYTES:
                    future.set_exception(StoreUnavailable("the store is too far behind to take more"))
                    return future
                self._waiting += 1
                self._bytes += job.weight
            self._queue.append((job, future))
            self._news.notify()
        return future

    def stop(self) -> None:
        """Commit what has queued, then end the threads: the writer first, since it hands work to the checkpointer.
        Nothing is accepted from here on."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()
        self._checkpointer.close()

    def disconnect(self) -> None:
        """Close the connection, after `stop`. When it is the last one, SQLite folds the WAL and removes it."""
        self._connection.close()

    def _run(self) -> None:
        batch: Batch | None = []
        try:
            while (batch := self._next()) is not None:
                if batch:
                    self._write(batch)
                else:
                    self._probe()
                self._notice()
        finally:  # however the thread ends, no future may stay open
            with self._news:
                self._closing = True
                left = [one for one in self._queue if one[1].set_running_or_notify_cancel()]
                self._queue.clear()
            _fail([*(batch or []), *left], StoreUnavailable("the store's writer has ended"))

    def _next(self) -> Batch | None:
        """The next batch; an empty one when it is time to look around, none at the end."""
        with self._news:
            while not self._queue and not self._closing:
                if not self._news.wait(NOTICE_SECONDS):
                    return []
            if not self._queue:
                return None
            batch: Batch = []
            size = 0
            while self._queue and len(batch) < BATCH:
                job, future = self._queue[0]
                size += job.weight
                if batch and size > BATCH_BYTES:
                    break
                self._queue.popleft()
                if isinstance(job, AppendEvent):
                    self._waiting -= 1
                    self._bytes -= job.weight
                if future.set_running_or_notify_cancel():
                    batch.append((job, future))
            return batch

    def _probe(self) -> None:
        """Readiness hangs on `healthy`: without traffic, nothing else would notice that the disk is full or the file is
        gone, or that it has room again."""
        if time.monotonic() < self._probed_at + (DOUBT_SECONDS if self.healthy else PROBE_SECONDS):
            return
        if self.healthy and self._looks_sound():
            return
        self._probed_at = time.monotonic()
        self._write([(Probe(_PROBE_ROOM), Future())])
        if self.healthy:  # to take nothing away from a full disk works always
            self._write([(Probe(0), Future())])

    def _looks_sound(self) -> bool:
        """A look that writes nothing. Only a commit that fails shows that something is wrong."""
        try:
            return disk_free(self._path) >= LOW_BYTES and _file_at(self._path) == self._file
        except OSError:
            return False

    def _notice(self) -> None:
        """Tell what another process made due: its commits don't come through our queue."""
        if time.monotonic() < self._noticed_at + NOTICE_SECONDS:
            return
        self._noticed_at = time.monotonic()
        with contextlib.suppress(apsw.Error):  # the next look will do
            others = self._commits_of_others()
            if others != self._others:
                self._tell({str(target): int(str(at)) for target, at in self._connection.execute(DUE)})
                self._others = others

    def _commits_of_others(self) -> int:
        """A number that changes with each commit that was not ours."""
        return int(str(self._connection.pragma("data_version")))

    def _write(self, batch: Batch) -> None:
        due: dict[str, int] = {}
        try:
            results = self._transaction([job for job, _ in batch], due)
        except _UNAVAILABLE as error:
            self._rollback()
            if self.healthy:
                log.error("store can't commit; requests are answered 503 until it can", error=str(error))
            self.healthy = False
            _fail(batch, StoreUnavailable(f"the store can't commit: {error}"))
            return
        except Exception as error:  # noqa: BLE001 - one job's fault, even when it is ours: the others must not suffer
            fault = error
        else:
            self._committed(batch, results, due)
            return
        self._rollback()
        if len(batch) > 1:
            # By halves and in order, so that among many rows the one that can't be stored costs few commits.
            self._write(batch[: len(batch) // 2])
            self._write(batch[len(batch) // 2 :])
            return
        reason = str(fault)
        if not isinstance(fault, _UNSTORABLE):
            log.error("store writer failed by a fault of ours", exc_info=fault)
            reason = f"internal error ({type(fault).__name__})"
        _fail(batch, StoreError(f"this can't be stored: {reason}"))

    def _committed(self, batch: Batch, results: list[Any], due: Due) -> None:
        # On a full disk something small fits now and then; to believe it would be to change our mind at each event.
        if not self.healthy and (self._looks_sound() or any(isinstance(job, Probe) and job.room for job, _ in batch)):
            log.info("store commits again")
            self.healthy = True
        with gathered():
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
            if due:
                self._tell(due)
        self._on_commit(len(batch), self._took)
        self._checkpointer.committed()
        self._checkpointer.tail(self._connection)

    def _transaction(self, jobs: list[WriteJob], due: dict[str, int]) -> list[Any]:
        def note(target: str, at: int) -> None:
            due[target] = min(at, due.get(target, at))

        began = self._writing_since = time.monotonic()
        try:
            return self._commit(jobs, note)
        finally:
            self._writing_since = None
            self._took = time.monotonic() - began

    def _commit(self, jobs: list[WriteJob], note: Callable[[str, int], None]) -> list[Any]:
        # Nobody can tell in which order what is committed at once was done, as long as those of a kind keep theirs; a
        # dozen of a kind cost hardly more than one. Claims come last: what the others made due is theirs to take.
        kinds: dict[type[WriteJob], list[int]] = {}
        for place, job in enumerate(jobs):
            kinds.setdefault(type(job), []).append(place)
        results: list[Any] = [None] * len(jobs)
        # What is committed to a file that was removed is gone with this process: nobody may be told that it is safe.
        if _file_at(self._path) != self._file:
            raise _FileGone(f"{self._path} was removed or replaced; put it back, or start the daemon anew")
        self._connection.execute("BEGIN IMMEDIATE")
        for kind in sorted(kinds, key=lambda kind: kind is ClaimDue):
            done = kind.run(self._connection, [jobs[place] for place in kinds[kind]], note)
            for place, result in zip(kinds[kind], done, strict=True):
                results[place] = result
        self._connection.execute("COMMIT")
        return results

    def _rollback(self) -> None:
        with contextlib.suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _tell(self, due: Due) -> None:
        try:
            self._listener(due)
        except Exception:  # somebody else's fault must not end the writer
            log.exception("the store's listener failed")


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file a name leads to now; none: to none that can be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _fail(batch: Batch, error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
