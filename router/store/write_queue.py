"""The queue of writes: jobs wait in it until the writer takes them as one batch."""

import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from router.domain.errors import StoreUnavailable

BATCH = 512  #: jobs in one transaction; more would save hardly any fsyncs, and delay the first answer
BATCH_BYTES = 16 * 1024 * 1024  #: of appends in one transaction, for the same reason; one larger job goes alone
MAX_WAITING_JOBS = 4096  #: appends that may wait; at some 5,000 a second that is about a second
MAX_WAITING_BYTES = 256 * 1024 * 1024  #: memory that waiting appends may take


class QueuedJob(Protocol):
    """One write."""

    is_append: ClassVar[bool]  #: it brings a new event, so that it is refused when too many wait

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        ...


Job = TypeVar("Job", bound=QueuedJob)


class WriteQueue(Generic[Job]):
    """Jobs in the order of their submission. Any thread may call `put`, and only the writer `take`."""

    def __init__(self, stalled_reason: str = "the disk does not answer", goes_on: type[Job] | None = None) -> None:
        """`goes_on`: the kind of appends that count as waiting after they were taken, until `let_go`."""
        self._stalled_reason = stalled_reason
        self._goes_on = goes_on
        self._jobs: deque[tuple[Job, Future[Any], int]] = deque()  # with their weights
        self._changed = threading.Condition()
        self._closed = False
        self._appends = 0  #: waiting ones
        self._bytes = 0  #: of the waiting appends

    def put(self, job: Job, *, stalled: bool) -> "Future[Any]":
        """Queue a job; its future fails with StoreUnavailable when there is no room for it.

        Only appends are refused: all other jobs finish work that was begun, and make room. `stalled`: the disk does not
        answer, so no append is taken.
        """
        future: Future[Any] = Future()
        weight = job.weight
        with self._changed:
            refusal = self._refusal(weight, stalled=stalled, is_append=job.is_append)
            if refusal is not None:
                future.set_exception(StoreUnavailable(refusal))
                return future
            if job.is_append:
                self._appends += 1
                self._bytes += weight
            self._jobs.append((job, future, weight))
            self._changed.notify()
        return future

    def take(self, timeout: float) -> "list[tuple[Job, Future[Any]]] | None":
        """The next batch; an empty one after `timeout` seconds without a job, None when the queue is closed and empty.

        The futures in it are running: they can't be cancelled any more.
        """
        with self._changed:
            while not self._jobs and not self._closed:
                if not self._changed.wait(timeout):
                    return []
            if not self._jobs:
                return None
            batch: list[tuple[Job, Future[Any]]] = []
            size = 0
            while self._jobs and len(batch) < BATCH:
                job, future, weight = self._jobs[0]
                size += weight
                if batch and size > BATCH_BYTES:
                    break
                self._jobs.popleft()
                if job.is_append and type(job) is not self._goes_on:
                    self._appends -= 1
                    self._bytes -= weight
                if future.set_running_or_notify_cancel():
                    batch.append((job, future))
            return batch

    def gather(self, jobs: int, seconds: float) -> bool:
        """Wait for so many more jobs, for so long at most. True if they came."""
        until = time.monotonic() + seconds
        with self._changed:
            wanted = min(BATCH, len(self._jobs) + jobs)
            while len(self._jobs) < wanted and not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def let_go(self, weight: int) -> None:
        """Count an append of the kind that goes on no longer."""
        with self._changed:
            self._appends -= 1
            self._bytes -= weight

    def close(self) -> None:
        """Refuse new jobs. The queued ones stay."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def drain(self) -> "list[tuple[Job, Future[Any]]]":
        """Close, and remove all queued jobs."""
        with self._changed:
            self._closed = True
            left = [(job, future) for job, future, _ in self._jobs if future.set_running_or_notify_cancel()]
            self._jobs.clear()
        return left

    def _refusal(self, weight: int, *, stalled: bool, is_append: bool) -> str | None:
        if self._closed:
            return "the store is closed"
        if not is_append:
            return None
        if stalled:
            return self._stalled_reason
        if self._appends >= MAX_WAITING_JOBS or self._bytes + weight > MAX_WAITING_BYTES:
            return "the store is too far behind to take more"
        return None
