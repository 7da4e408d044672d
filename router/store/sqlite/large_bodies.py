"""The writer's second lane: large bodies. Each piece has a commit of its own, between the commits of all other jobs.

An event is appended once all pieces of its body are committed. If this never happens (the process dies, the disk is
full, the sender was answered already), no reader sees the pieces, and they are removed: here, or at the next start.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar

import apsw

from router.store.sqlite.jobs.append import AppendEvent, is_duplicate
from router.store.sqlite.jobs.job import WriteJob
from router.store.sqlite.jobs.put_piece import PutPiece
from router.store.sqlite.jobs.remove_pieces import RemovePieces, unreferenced
from router.store.sqlite.pieces import pieces_of

LOOK_SECONDS = 0.2  #: how often the writer checks for pieces to remove; a check takes 3 µs
_PAUSE_FACTOR = 4.0  #: a pause takes this many times the removal before it, so commits wait at most a fifth of the time
_FAILED_SECONDS = 10.0  #: until the next removal after a failed one, for example on a full disk

Write = Callable[[list[tuple[WriteJob, "Future[Any]"]]], None]


@dataclass(slots=True)
class BeginLarge:
    """An append with a large body, on its way to the lane. Writes nothing."""

    append: AppendEvent
    stored: "Future[Any]"  #: the future of the append
    is_append: ClassVar[bool] = True

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        return self.append.weight


class _Body:
    """One body that is being written."""

    def __init__(self, job: AppendEvent, stored: "Future[Any]") -> None:
        self.job = job
        self.stored = stored
        self.pieces: Iterator[bytes] = pieces_of(job.event.body)
        self.written = 0  #: pieces that are written


class LargeBodies:
    """The lane. Belongs to the writer's thread."""

    def __init__(self, connection: apsw.Connection, write: Write, release: Callable[[int], None]) -> None:
        """`write` commits jobs and completes their futures. `release` is called with the bytes that no longer wait."""
        self._connection = connection
        self._write = write
        self._release = release
        self._bodies: deque[_Body] = deque()
        self._look_at = 0.0  #: monotonic; when to check for pieces to remove

    def __bool__(self) -> bool:
        """Whether a body is being written."""
        return bool(self._bodies)

    @property
    def pause(self) -> float:
        """Seconds until there is something to do."""
        return 0.0 if self._bodies else max(0.0, self._look_at - time.monotonic())

    def add(self, begun: BeginLarge) -> None:
        """Write a body, after those that are under way."""
        self._bodies.append(_Body(begun.append, begun.stored))

    def step(self) -> None:
        """Do the next step: write a piece, append an event whose pieces are written, or remove pieces."""
        if time.monotonic() >= self._look_at:
            self._remove()
        if self._bodies:
            self._write_on(self._bodies[0])

    def fail_all(self, error: Exception) -> None:
        """Fail all bodies that are being written."""
        while self._bodies:
            self._end(self._bodies[0], error)

    def _write_on(self, body: _Body) -> None:
        if body.stored.cancelled():
            self._end(body)
        elif not body.written and self._is_duplicate(body.job):
            self._append(body)
        elif (data := next(body.pieces, None)) is None:
            body.job.in_pieces = True
            self._append(body)
        else:
            error = self._commit(PutPiece(body.job.event.id, body.written, data))
            body.written += 1
            if error is not None:
                self._end(body, error)

    def _append(self, body: _Body) -> None:
        if body.stored.set_running_or_notify_cancel():
            self._write([(body.job, body.stored)])
        self._end(body)

    def _end(self, body: _Body, error: BaseException | None = None) -> None:
        self._bodies.remove(body)
        self._release(body.job.weight)
        if error is not None and body.stored.set_running_or_notify_cancel():
            body.stored.set_exception(error)

    def _remove(self) -> None:
        began = time.monotonic()
        self._look_at = began + LOOK_SECONDS
        event_id = None
        with contextlib.suppress(apsw.Error):  # the next check tries again
            event_id = unreferenced(self._connection, [body.job.event.id for body in self._bodies])
        if event_id is None:
            return
        failed = self._commit(RemovePieces(event_id)) is not None
        ended = time.monotonic()
        self._look_at = ended + (_FAILED_SECONDS if failed else _PAUSE_FACTOR * (ended - began))

    def _is_duplicate(self, job: AppendEvent) -> bool:
        """Whether its append will write nothing, so that its pieces need not be written."""
        with contextlib.suppress(apsw.Error):  # the write itself will fail if the store is broken
            return is_duplicate(self._connection, job)
        return False

    def _commit(self, job: WriteJob) -> BaseException | None:
        done: Future[Any] = Future()
        self._write([(job, done)])
        return done.exception()
