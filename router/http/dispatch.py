"""Hands requests to the handler, and its replies to their connections.

Methods belong to the loop's thread, unless they say otherwise.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from router.domain.reply import Reply
from router.http.contract import Answered, Handler, Pending, Request, WakeUp
from router.http.limits import BUSY_SECONDS, LARGE_BYTES
from router.http.methods import shown_method
from router.http.problem import refusal
from router.http.reader import Message
from router.http.refusals import Refusals
from router.http.workers import Workers

if TYPE_CHECKING:
    from router.http.connection import Connection

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request that waits for its reply."""

    connection: "Connection"
    pending: Pending | None  #: None when it is answered
    since: float  #: monotonic


class Dispatch:
    """The requests under way of one server."""

    def __init__(
        self,
        handler: Handler,
        answered: Answered,
        refusals: Refusals,
        wake_up: WakeUp,
        answer_seconds: float,
        loop: asyncio.AbstractEventLoop,
        workers: Workers,
        large_workers: Workers,
        inline_bytes: int,
    ) -> None:
        self._handler = handler
        self.count = answered
        self._refusals = refusals
        self._wake_up = wake_up
        self._answer_seconds = answer_seconds
        self._loop = loop
        self._workers = workers
        self._large_workers = large_workers
        self._inline_bytes = inline_bytes
        self._waiting: deque[_Waiting] = deque()  # by age; some may be answered already
        self._unanswered = 0  # those that are not answered
        self._done: deque[_Waiting] = deque()  # any thread appends
        self._waking = threading.Lock()
        self._woken = self._stopped_waking = False
        self._last_request = 0.0

    def is_busy(self) -> bool:
        """Whether requests are being answered; any thread may ask."""
        return self._unanswered > 0 or time.monotonic() - self._last_request < BUSY_SECONDS

    def handle(self, connection: "Connection", message: Message) -> None:
        """Answer a whole request: in this thread when it is small, in a worker when it is large."""
        self._last_request = time.monotonic()
        if message.refused:
            connection.answer(self._refused(message, connection.ip))
        elif message.body.size <= self._inline_bytes and not message.is_encoded:
            self._take_answer(connection, self._call_handler(message, connection.ip))
        else:
            workers = self._workers if message.body.size <= LARGE_BYTES else self._large_workers
            workers.submit(partial(self._work, connection, message))

    def _work(self, connection: "Connection", message: Message) -> None:
        if connection.is_gone:  # its sender will repeat the request, and other requests wait for this worker
            message.body.close()
            return
        given = self._call_handler(message, connection.ip)
        self.call(partial(self._take_answer, connection, given))

    def _call_handler(self, message: Message, ip: str) -> Reply | Pending:
        """The handler's answer; any thread."""
        try:
            body = message.body.take()
        except OSError:
            message.refused, message.reason = 503, "no room for the body"
            return self._refused(message, ip)
        request = Request(message.method, message.path, message.query, tuple(message.headers), body, ip)
        try:
            return self._handler(request)
        except Exception as error:  # this sender gets an answer, and the others go on
            log.error("request failed by a fault of ours", method=shown_method(message.method), exc_info=error)
            self.count(message.path, 500)
            return refusal(500)

    def _refused(self, message: Message, ip: str) -> Reply:
        method = shown_method(message.method) if message.method else None  # refused before its method was known
        self._refusals.tell(None, message.refused, message.reason, ip, method)
        self.count(message.path, message.refused)
        return refusal(message.refused)

    def _take_answer(self, connection: "Connection", given: Reply | Pending) -> None:
        if isinstance(given, Pending):
            self._wait(_Waiting(connection, given, time.monotonic()), given.future)
        else:
            connection.answer(given)

    def _wait(self, waiting: _Waiting, future: "Future[Any]") -> None:
        self._waiting.append(waiting)
        self._unanswered += 1
        # The future keeps the pending reply only until `_answer`: a cycle would keep the event until a collection.
        future.add_done_callback(partial(self._ready, waiting))

    def _ready(self, waiting: _Waiting, _: Any) -> None:
        """A future is done; any thread."""
        self._done.append(waiting)
        self._wake_up(self._wake)

    def _wake(self) -> None:
        """Any thread."""
        if not self._woken:  # each wake-up costs a system call
            self._woken = True
            self.call(self.answer_ready)

    def call(self, function: Callable[[], Any]) -> None:
        """Have the loop call a function soon; does nothing after `stop_waking`. Any thread."""
        with self._waking:
            if not self._stopped_waking:
                self._loop.call_soon_threadsafe(function)

    def stop_waking(self) -> None:
        """Drop wake-ups from now on: the loop is about to be closed."""
        with self._waking:
            self._stopped_waking = True

    def answer_ready(self) -> None:
        """Answer the requests whose futures are done."""
        self._woken = False
        while self._done:
            self._answer(self._done.popleft())

    def answer_old(self, now: float) -> None:
        """Answer requests that have waited too long. If their commit still comes, dedupe recognizes the repeat."""
        waiting = self._waiting
        while waiting and (waiting[0].pending is None or waiting[0].since <= now - self._answer_seconds):
            self._answer(waiting.popleft())

    def answer_all(self) -> None:
        """Answer all waiting requests, at the end of the time for a stop."""
        while self._waiting:
            self._answer(self._waiting.popleft())

    def has_ready(self) -> bool:
        """Whether replies are ready to be sent."""
        return bool(self._done)

    def _answer(self, waiting: _Waiting) -> None:
        pending, waiting.pending = waiting.pending, None
        if pending is None:
            return
        self._unanswered -= 1
        try:
            reply = pending.reply(0)  # called even if the sender has left: this logs and counts the event
        except Exception as error:  # a fault with one sender must not reach the others
            log.error("request failed by a fault of ours", exc_info=error)
            reply = refusal(500)
        waiting.connection.answer(reply)
