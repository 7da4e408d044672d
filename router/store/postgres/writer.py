"""Group commit: one thread writes all queued jobs in one transaction, with one flush for all of them."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from router.domain.errors import StoreError, StoreUnavailable
from router.domain.groups import Skipped
from router.runtime.wakeups import gathered
from router.store.changes import Changes
from router.store.contract import CommitListener, Due
from router.store.postgres.commit import commit_jobs, prepare_session
from router.store.postgres.connection import Connected, connect
from router.store.postgres.faults import IN_THE_WAY, is_disconnect, is_unavailable, reason
from router.store.postgres.jobs.append import AppendEvent
from router.store.postgres.jobs.claim import ClaimDue
from router.store.postgres.jobs.claim_one import ClaimOne
from router.store.postgres.jobs.holds import PauseTarget, PutFileHolds, ResumeTarget
from router.store.postgres.jobs.job import WriteJob
from router.store.postgres.jobs.tidy import Tidy
from router.store.postgres.marks import Marks
from router.store.postgres.stuck_watch import StuckWatch
from router.store.postgres.url import PostgresUrl
from router.store.write_queue import WriteQueue

GATHERED_FROM = 4  #: appends in a batch from which waiting for their senders' next ones pays
GATHER_SECONDS = 0.003  #: how long it waits for them; a transaction takes as long
SCATTERED_SECONDS = 0.1  #: how long it stops waiting after senders did not come
STALLED_SECONDS = 5.0  #: of one transaction; beyond this, appends are refused at once and don't queue
IDLE_SECONDS = 0.2  #: how often an idle writer checks for work
TRIES = 5  #: of a transaction that another one blocks
FIRST_PAUSE_SECONDS = 0.1  #: before the second try to connect; doubled with each
LONGEST_PAUSE_SECONDS = 5.0  #: between tries to connect
TIDY_SECONDS = 10.0  #: between two runs of Tidy

_TOLD = (PauseTarget, ResumeTarget, PutFileHolds)  #: changes that every node must hear of at once

log = structlog.get_logger()


class _StillAwayError(psycopg.OperationalError):
    """The database was away a moment ago, and it is too early for the next try to connect."""


Batch = list[tuple[WriteJob, "Future[Any]"]]


@dataclass(slots=True)
class WriterListeners:
    """Called by the writer's thread. They must be short."""

    due: Callable[[Due], None] = lambda _: None  #: deliveries that a commit made due
    committed: CommitListener = lambda *_: None
    skipped: Callable[[Sequence[Skipped]], None] = lambda _: None  #: deliveries that a commit skipped


class Writer:
    """Owns the writing connection. `submit` and `stop` may be called from any thread."""

    def __init__(
        self, url: PostgresUrl, node: int | None, listeners: WriterListeners, *, connects: bool = True
    ) -> None:
        """`connects`: connect now; otherwise with the first job. Raises psycopg.Error."""
        self._url = url
        self._node = node
        self._listeners = listeners
        self._queue: WriteQueue[WriteJob] = WriteQueue("the database does not answer")
        self._writing_since: float | None = None  #: monotonic; of the current transaction
        self._took = 0.0  #: seconds, of the last transaction
        self.healthy = True
        self.errors = 0  #: transactions that failed, or whose answer was lost
        self.deadlocks = 0  #: transactions that were repeated because another one was in the way
        self.marks = Marks()
        self._alone = True
        self._looks_again = False
        self._tidy_at = time.monotonic() + TIDY_SECONDS
        self._unreplicated = False  #: the server said that the commit might not have reached the standby
        self._pause = 0.0
        self._connect_at = 0.0  #: monotonic; the earliest time of the next try
        self._gather_at = 0.0  #: monotonic; the earliest time of the next wait
        self._connection: Connected | None = None
        self._number = 0
        if connects:
            self._connect()
        self._watch = StuckWatch(lambda: (self._writing_since, self._connection))
        self._watch.start()
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

    def claim_as(self, node: int) -> None:
        """Claim as this node from now on."""
        self._node = node

    def look_again(self, *, alone: bool) -> None:
        """Drop the marks: others may have made deliveries due below them. `alone`: no other node commits deliveries."""
        self._alone = alone
        self._looks_again = True
        self._connect_at = 0.0  # the caller has just reached the database

    def forget_marks(self) -> None:
        """Drop the marks: another writer of this process may have made deliveries due below them."""
        self._looks_again = True

    def submit(self, job: WriteJob) -> "Future[Any]":
        """Queue a job."""
        return self._queue.put(job, stalled=self.stalled)

    def stop(self) -> None:
        """Commit the queued jobs, then end the thread and the connection. Later jobs are refused."""
        self._queue.close()
        self._thread.join()
        self._watch.stop()
        self._disconnect()

    def _run(self) -> None:
        batch: Batch | None = []
        try:
            while (batch := self._queue.take(IDLE_SECONDS)) is not None:
                if batch:
                    self._write(batch)
                    self._gather(batch)
                elif not self.healthy:
                    self._try_to_heal()
        finally:  # however the thread ends, every future must be done
            left = self._queue.drain()
            _fail([*(batch or []), *left], StoreUnavailable("the store's writer has ended"))

    def _gather(self, written: Batch) -> None:
        """Wait a moment for the next events of senders that have just got their answers.

        Without this, these events and those that waited meanwhile would take turns in batches of half the size, and a
        transaction's cost hardly depends on its size.
        """
        appended = sum(job.is_append for job, _ in written)
        if appended < GATHERED_FROM or time.monotonic() < self._gather_at:
            return
        if not self._queue.gather(appended, GATHER_SECONDS):
            self._gather_at = time.monotonic() + SCATTERED_SECONDS

    def _try_to_heal(self) -> None:
        """Try to connect while no jobs come. Otherwise nothing would notice that the database is back."""
        if time.monotonic() >= self._connect_at:
            self._write([])

    def _write(self, batch: Batch) -> None:
        try:
            results, changes = self._commit_stubbornly([job for job, _ in batch])
        except Exception as error:  # noqa: BLE001 - one job's fault, a bug included, must not fail the other jobs
            if is_unavailable(error):
                self._unavailable(batch, error)
                return
            fault = error
        else:
            self._committed(batch, results, changes)
            return
        if len(batch) > 1:
            # Try halves, in order, so that one bad row among many costs few commits.
            self._write(batch[: len(batch) // 2])
            self._write(batch[len(batch) // 2 :])
            return
        _fail(batch, StoreError(f"this can't be stored: {_reason(fault)}"))

    def _commit_stubbornly(self, jobs: Sequence[WriteJob]) -> tuple[list[Any], Changes]:
        """Commit; again while another transaction is in the way, and once more when the connection was cut: whether it
        was cut before or after the commit, each job then gives the same."""
        began = self._writing_since = time.monotonic()
        try:
            for number in range(1, TRIES + 1):
                changes = Changes()
                cut = self._connection is not None
                try:
                    return self._commit(jobs, changes), changes
                except IN_THE_WAY:
                    self.deadlocks += 1
                    if number == TRIES:
                        raise
                    time.sleep(random.uniform(0, 0.02 * number))  # noqa: S311 - so that two don't meet again
                except psycopg.Error as error:
                    if not (is_disconnect(error) and cut) or number == TRIES:
                        raise
                    self.errors += 1
                    self._disconnect()
                    for job in jobs:
                        if isinstance(job, ClaimDue | ClaimOne):
                            job.renew()
            raise AssertionError
        finally:
            self._writing_since = None
            self._took = time.monotonic() - began

    def _commit(self, jobs: Sequence[WriteJob], changes: Changes) -> list[Any]:
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        if self._looks_again:
            self._looks_again = False
            self.marks.alone = self._alone
            self.marks.forget()
        for job in jobs:
            if isinstance(job, ClaimDue):
                job.marks = self.marks.of(job.wanted, time.monotonic())
        self._unreplicated = False
        results = commit_jobs(
            self._connection, self._number, self._node, jobs, changes, in_session=not self._url.pgbouncer
        )
        if self._unreplicated:
            raise psycopg.OperationalError("the commit might not have reached the standby")
        if any(isinstance(job, _TOLD) for job in jobs):
            self._tell(self._connection)
        return results

    @staticmethod
    def _tell(connection: Connected) -> None:
        """Wake the other nodes. If it fails, they look by themselves a little later."""
        with suppress(psycopg.Error):
            connection.execute("SELECT nextval('webhook_router.signal')")
            connection.execute("SELECT pg_notify('webhook_router', '')")

    def _committed(self, batch: Batch, results: list[Any], changes: Changes) -> None:
        if not self.healthy:
            log.info("store commits again")
            self.healthy = True
        self._pause = 0.0
        for (job, _), result in zip(batch, results, strict=True):
            if isinstance(job, ClaimDue):
                self.marks.claimed(result)
        self.marks.due(changes.due)
        with gathered():
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
            if changes.due:
                self._report(lambda: self._listeners.due(changes.due))
            if changes.skips:
                self._report(lambda: self._listeners.skipped(changes.skips))
        if batch:
            self._listeners.committed(len(batch), self._took)
            self._tidy(batch)

    def _tidy(self, batch: Batch) -> None:
        """Queue the removal of old rows, now and then while events come in."""
        received = [job.event.received_at for job, _ in batch if isinstance(job, AppendEvent)]
        if received and time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY_SECONDS
            self._queue.put(Tidy(min(received)), stalled=False)

    def _unavailable(self, batch: Batch, error: Exception) -> None:
        if self.healthy:
            log.error("store can't commit; requests are answered 503 until it can", error=reason(error))
        self.healthy = False
        self.marks.forget()
        if not isinstance(error, _StillAwayError):  # it was tried; else traffic would put the next try off for ever
            self.errors += 1
            self._pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * self._pause))
            self._connect_at = time.monotonic() + self._pause
        if is_disconnect(error):
            self._disconnect()
        _fail(batch, StoreUnavailable(f"the store can't commit: {reason(error)}"))

    def _connect(self) -> None:
        if time.monotonic() < self._connect_at:
            raise _StillAwayError("the database is away")
        connection = connect(self._url, self._notice)
        try:
            if not self._url.pgbouncer:
                prepare_session(connection)
            # A cut connection's last transaction may still commit: a new number, so that each one's are in order.
            [(self._number,)] = connection.execute("SELECT nextval('webhook_router.writer')").fetchall()
        except psycopg.Error:
            connection.close()
            raise
        self._connection = connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # "The transaction has already committed locally, but might not have been replicated to the standby."
        if diagnostic.severity_nonlocalized == "WARNING" and "replicat" in (diagnostic.message_detail or ""):
            self._unreplicated = True

    def _report(self, report: Callable[[], None]) -> None:
        try:
            report()
        except Exception:  # a listener's fault must not end the writer
            log.exception("the store's listener failed")


def _reason(fault: Exception) -> str:
    if isinstance(fault, psycopg.Error | ValueError | TypeError | OverflowError):
        return reason(fault)
    log.error("store writer failed by a fault of ours", exc_info=fault)
    return f"internal error ({type(fault).__name__})"


def _fail(batch: Batch, error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
