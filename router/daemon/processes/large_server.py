"""Judges requests with large bodies in a process of its own, so that no process that serves connections holds its
interpreter for as long as a large body takes: some 10 ms for each MB."""

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

_LOOK_SECONDS = 0.02  #: between two looks at whether all requests are answered, at the end

log = structlog.get_logger()


class LargeServer:
    """As much of a server as an intake process needs. Its loop serves the link to the main process alone."""

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
        """Judge what comes."""
        self._thread.start()
        for thread in self._threads:
            thread.start()

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function in its next turn; any thread may ask."""
        self._loop.call_soon_threadsafe(answer)

    def is_busy(self) -> bool:
        """Whether a request is being judged."""
        return self._under_way > 0

    def connections(self) -> tuple[int, int]:
        """It has none of senders."""
        return 0, 0

    def drain(self, timeout: float) -> None:
        """Wait until what has begun is answered. The main process stops it last, when nobody hands over anything."""
        until = time.monotonic() + timeout
        while self._under_way and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End the threads, once nobody is left who could hand over anything."""
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
        """The reply; None when it has waited for its turn too long."""
        until = handed.since + ANSWER_SECONDS
        if time.monotonic() >= until:
            return None
        try:
            given = self._handler(handed.request)
            del handed  # its memory is free while the event waits for its commit
            return given.reply(max(0.0, until - time.monotonic())) if isinstance(given, Pending) else given
        except Exception as error:  # this sender gets an answer, and the others go on
            log.error("request failed by a fault of ours", exc_info=error)
            return refusal(500)

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change
