"""Hands requests to the handler, and its replies to their connections.

Methods belong to the loop's thread, unless they say otherwise.
"""

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from router.domain.reply import Reply
from router.http.contract import Answered, Handler, Pending, Request, WakeUp
from router.http.limits import BUSY_SECONDS
from router.http.methods import shown_method
from router.http.problem import refusal
from router.http.reader import Message
from router.http.refusals import Refusals
from router.http.workers import Workers

if TYPE_CHECKING:
    from router.http.connection import Connection

log = structlog.get_logger()


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
        inline_bytes: int,
    ) -> None:
        self._handler = handler
        self.count = answered
        self._refusals = refusals
        self._wake_up = wake_up
        self._answer_seconds = answer_seconds
        self._loop = loop
        self._workers = workers
        self._inline_bytes = inline_bytes
        self._serials = itertools.count()
        self._waiting: dict[Connection, tuple[int, Pending]] = {}  # replies to come
        self._since: deque[tuple[float, Connection, int]] = deque()  # the same by age; some may be answered already
        self._done: deque[tuple[Connection, int]] = deque()  # any thread appends
        self._waking = threading.Lock()
        self._woken = self._stopped_waking = False
        self._last_request = 0.0

    def is_busy(self) -> bool:
        """Whether requests are being answered; any thread may ask."""
        return bool(self._waiting) or time.monotonic() - self._last_request < BUSY_SECONDS

    def handle(self, connection: "Connection", message: Message) -> None:
        """Answer a whole request: in this thread when it is small, in a worker when it is large."""
        self._last_request = time.monotonic()
        if message.refused:
            connection.answer(self._refused(message, connection.ip))
        elif message.body.size <= self._inline_bytes and not message.is_encoded:
            self._take_answer(connection, self._call_handler(message, connection.ip))
        else:
            self._workers.submit(partial(self._work, connection, message))

    def _work(self, connection: "Connection", message: Message) -> None:
        if connection.is_gone:  # its sender will repeat the request, and others wait for this worker
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
        method = shown_method(message.method) if message.method else None  # refused before it was known
        self._refusals.tell(None, message.refused, message.reason, ip, method)
        self.count(message.path, message.refused)
        return refusal(message.refused)

    def _take_answer(self, connection: "Connection", given: Reply | Pending) -> None:
        if isinstance(given, Pending):
            self._wait(connection, given)
        else:
            connection.answer(given)

    def _wait(self, connection: "Connection", pending: Pending) -> None:
        serial = next(self._serials)
        self._waiting[connection] = serial, pending
        self._since.append((time.monotonic(), connection, serial))
        # The future must not refer to the pending reply: the cycle would keep the event until a garbage collection.
        pending.future.add_done_callback(partial(self._ready, connection, serial))

    def _ready(self, connection: "Connection", serial: int, _: Any) -> None:
        """A future is done; any thread."""
        self._done.append((connection, serial))
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
        """Drop wake-ups from here on, because the loop is about to be closed."""
        with self._waking:
            self._stopped_waking = True

    def answer_ready(self) -> None:
        """Answer the requests whose futures are done."""
        self._woken = False
        while self._done:
            connection, serial = self._done.popleft()
            if self._waits(connection, serial):
                self._answer(connection)

    def answer_old(self, now: float) -> None:
        """Answer requests that have waited too long; if their commit still comes, dedupe recognizes the repeat."""
        while self._since:
            since, connection, serial = self._since[0]
            waits = self._waits(connection, serial)
            if waits and since > now - self._answer_seconds:
                return
            self._since.popleft()
            if waits:
                self._answer(connection)

    def answer_all(self) -> None:
        """Answer all waiting requests, at the end of a stop's time."""
        for connection in list(self._waiting):
            self._answer(connection)

    def has_ready(self) -> bool:
        """Whether replies are ready to be sent."""
        return bool(self._done)

    def _waits(self, connection: "Connection", serial: int) -> bool:
        waiting = self._waiting.get(connection)
        return waiting is not None and waiting[0] == serial

    def _answer(self, connection: "Connection") -> None:
        _, pending = self._waiting.pop(connection)
        try:
            reply = pending.reply(0)  # also when the sender has left: this logs and counts the event
        except Exception as error:  # the boundary between one sender and all the others
            log.error("request failed by a fault of ours", exc_info=error)
            reply = refusal(500)
        connection.answer(reply)
