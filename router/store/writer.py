"""Group commit: one thread writes everything that has queued in one transaction, one fsync for all of it."""

import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import apsw
import structlog

from router.errors import StoreError, StoreUnavailable
from router.store.base import Due
from router.store.jobs import Append, Job
from router.store.sqlite_file import connect

BATCH = 512  #: jobs in one transaction; more would not save fsyncs worth mentioning, and delay the first answer
MAX_WAITING_JOBS = 4096  #: appends that may wait; at some 5,000 a second that is about a second
MAX_WAITING_BYTES = 256 * 1024 * 1024  #: memory that waiting appends may take
_WAL_LIMIT = 64 * 1024 * 1024  #: bytes of WAL after which the writer itself makes room, between two batches
_CHECKPOINT_SECONDS = 1.0

T = TypeVar("T")
log = structlog.get_logger()

# What says "not now" rather than "not this row".
_UNAVAILABLE = (
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

    def __init__(self, path: Path, listener: Callable[[Due], None]) -> None:
        self._path = path
        self._listener = listener
        self._queue: deque[tuple[Job, Future[Any]]] = deque()
        self._news = threading.Condition()
        self._closing = False
        self._waiting = 0
        self._bytes = 0
        self.healthy = True
        self._committed = threading.Event()
        self._ended = threading.Event()
        self._connection = connect(path)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA wal_autocheckpoint = 0")  # the checkpointer does it, off the commits' path
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._checkpointer = threading.Thread(target=self._checkpoint, name="store-checkpoint", daemon=True)
        self._thread.start()
        self._checkpointer.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, job: Job) -> "Future[Any]":
        """Queue a job."""
        future: Future[Any] = Future()
        with self._news:
            if self._closing:
                future.set_exception(StoreUnavailable("the store is closed"))
                return future
            if isinstance(job, Append):
                # Only appends are refused: all else finishes work that was begun, and makes room.
                if self._waiting >= MAX_WAITING_JOBS or self._bytes + job.weight > MAX_WAITING_BYTES:
                    future.set_exception(StoreUnavailable("the store is too far behind to take more"))
                    return future
                self._waiting += 1
                self._bytes += job.weight
            self._queue.append((job, future))
            self._news.notify()
        return future

    def close(self) -> None:
        """Commit what has queued, then end the threads: first the writer, which may still need the WAL, then the
        checkpointer, which folds the WAL into the database once more. Nothing is accepted from here on."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()
        self._ended.set()
        self._committed.set()
        self._checkpointer.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._queue and not self._closing:
                    self._news.wait()
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                if not batch:
                    return
                for job, _ in batch:
                    if isinstance(job, Append):
                        self._waiting -= 1
                        self._bytes -= job.weight
            batch = [(job, future) for job, future in batch if future.set_running_or_notify_cancel()]
            try:
                self._write(batch)
            except Exception as error:  # the border of the thread: no future may stay open
                log.exception("store writer failed by a fault of ours")
                _fail(batch, StoreUnavailable(f"internal error ({type(error).__name__})"))

    def _write(self, batch: list[tuple[Job, "Future[Any]"]]) -> None:
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
        except (apsw.Error, ValueError, TypeError, OverflowError) as error:
            self._rollback()
            if len(batch) > 1:
                for one in batch:  # each for itself, so that the row that can't be stored fails alone
                    self._write([one])
                return
            _fail(batch, StoreError(f"this can't be stored: {error}"))
            return
        if not self.healthy:
            log.info("store commits again")
        self.healthy = True
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
        self._committed.set()
        if due:
            self._tell(due)
        self._bound_wal()

    def _transaction(self, jobs: list[Job], due: dict[str, int]) -> list[Any]:
        def note(target: str, at: int) -> None:
            due[target] = min(at, due.get(target, at))

        results: list[Any] = []
        self._connection.execute("BEGIN IMMEDIATE")
        for _, run in itertools.groupby(jobs, type):
            together = list(run)
            run_together: Callable[..., list[Any]] = together[0].run
            results += run_together(self._connection, together, note)
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

    def _bound_wal(self) -> None:
        """A checkpoint beside constant writing never catches up with it; here nothing is written meanwhile."""
        with contextlib.suppress(OSError, apsw.Error):
            if self._path.with_name(self._path.name + "-wal").stat().st_size > _WAL_LIMIT:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                self._connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT // 2}")

    def _checkpoint(self) -> None:
        connection = connect(self._path)
        try:
            while not self._ended.is_set():
                self._committed.wait()
                self._committed.clear()
                with contextlib.suppress(apsw.Error):  # busy or full: the next one will do
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._ended.wait(_CHECKPOINT_SECONDS)
        finally:
            connection.close()


def _fail(batch: list[tuple[Job, "Future[Any]"]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
