"""Handles requests with large bodies in a process of their own.

A large body holds an interpreter for some 10 ms for each MB. So this must not happen in a process that serves
connections.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable

import structlog

from router.daemon.processes.large_requests import HandedRequest, next_request, read_request, send_reply
from router.domain.reply import Reply
from router.http.contract import Handler, Pending
from router.http.limits import ANSWER_SECONDS, THREADS
from router.http.loops import new_event_loop
from router.http.problem import refusal

_LOOK_SECONDS = 0.02  #: at the end, between two checks whether all requests are answered

log = structlog.get_logger()


class LargeServer:
    """The part of a server that an intake process needs. Its loop only serves the link to the main process."""

    def __init__(self, handler: Handler, queue_end: socket.socket) -> None:
        self._handler = handler
        self._queue = queue_end
        self._loop = new_event_loop()
        self._lock = threading.Lock()
        self._under_way = 0
        # While one request is parsed, others are read, verified or committed.
        self._threads = [threading.Thread(target=self._work, name=f"large-{n}", daemon=True) for n in range(THREADS)]
        self._thread = threading.Thread(target=self._run, name="large", daemon=True)

    def start(self) -> None:
        """Start to handle requests."""
        self._thread.start()
        for thread in self._threads:
            thread.start()

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function in its next turn; any thread may ask."""
        self._loop.call_soon_threadsafe(answer)

    def is_busy(self) -> bool:
        """Whether a request is being handled."""
        return self._under_way > 0

    def connections(self) -> tuple[int, int]:
        """Always zero: senders don't connect to this process."""
        return 0, 0

    def drain(self, timeout: float) -> None:
        """Wait until the requests under way are answered. The main process stops this process last, when no requests
        come."""
        until = time.monotonic() + timeout
        while self._under_way and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End the threads. Call it when no requests can come."""
        for thread in self._threads:
            thread.join()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _work(self) -> None:
        while (sock := next_request(self._queue)) is not None:
            self._count(1)
            with sock, contextlib.suppress(OSError):  # the process that handed it over is gone
                reply = self._judge(read_request(sock))
                if reply is not None:
                    send_reply(sock, reply)
            self._count(-1)

    def _judge(self, handed: HandedRequest) -> Reply | None:
        """The reply; None when the request has waited too long for its turn."""
        until = handed.since + ANSWER_SECONDS
        if time.monotonic() >= until:
            return None
        try:
            given = self._handler(handed.request)
            del handed  # frees its memory while the event waits for its commit
            return given.reply(max(0.0, until - time.monotonic())) if isinstance(given, Pending) else given
        except Exception as error:  # a fault with one request must not end the others
            log.error("request failed by a fault of ours", exc_info=error)
            return refusal(500)

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change
