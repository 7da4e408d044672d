"""A small HTTP/1.1 server: one asyncio protocol over httptools, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from router.http.binding import listen
from router.http.certificate import Certificate
from router.http.contract import Answered, BodyLimit, Handler, WakeUp, at_once
from router.http.dispatch import Dispatch
from router.http.limits import ACCEPTED_AT_ONCE, ANSWER_SECONDS, INLINE_BYTES, MAX_CONNECTIONS, REQUEST_SECONDS, THREADS
from router.http.listener import Listener
from router.http.loops import new_event_loop
from router.http.refusals import Refusals
from router.http.workers import Workers

_MORE_SECONDS = 10.0  #: on top of a stop's timeout, for a slow loop


log = structlog.get_logger()


def _log_fault(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log a fault and continue: later senders must be served."""
    log.error("the loop of a listener failed once; it continues", exc_info=context.get("exception"))


class Server:
    """One listener. `start` and `stop` belong to one thread; it serves in threads of its own."""

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        *,
        body_limit: BodyLimit = lambda _: 1024 * 1024,
        answered: Answered = lambda *_: None,
        refusals: Refusals | None = None,
        wake_up: WakeUp = at_once,
        connections: int = MAX_CONNECTIONS,
        request_seconds: float = REQUEST_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        threads: int = THREADS,
        inline_bytes: int = INLINE_BYTES,
        tls: Certificate | None = None,
        new_loop: Callable[[], asyncio.AbstractEventLoop] = new_event_loop,
        shared: socket.socket | None = None,
    ) -> None:
        """Bind and listen, without answering yet. Raises StartError when the address is not available.

        `body_limit` gives the largest body of a path, in bytes. `request_seconds` is the time from a request's first
        byte to its last; `answer_seconds` is how long a pending reply may take. Requests with a body of up to
        `inline_bytes` are handled in the loop's thread, larger ones by workers; -1: all by workers. `shared` is a
        listening socket from which other processes accept too.
        """
        self._sock = listen(host, port) if shared is None else shared
        self.port = int(self._sock.getsockname()[1])
        self._loop = new_loop()
        self._loop.set_exception_handler(_log_fault)
        # Two groups, so that bodies of 100 kB don't wait for those of 25 MB.
        self._workers = Workers(threads, f"http-{self.port}-worker")
        self._large_workers = Workers(threads, f"http-{self.port}-large")
        refusals = refusals or Refusals()
        self._dispatch = Dispatch(
            handler,
            answered,
            refusals,
            wake_up,
            answer_seconds,
            self._loop,
            self._workers,
            self._large_workers,
            inline_bytes,
        )
        self._listener = Listener(
            self._sock,
            self._loop,
            self._dispatch,
            body_limit,
            connections,
            request_seconds,
            refusals,
            tls,
            # One connection in each turn, so that processes share connections that come at once.
            at_once=ACCEPTED_AT_ONCE if shared is None else 1,
        )
        self._thread = threading.Thread(target=self._run, name=f"http-{self.port}", daemon=True)
        self._stopped = False

    def is_busy(self) -> bool:
        """Whether requests are being answered; any thread may ask."""
        return self._dispatch.is_busy()

    def connections(self) -> tuple[int, int]:
        """The number of open connections, and their limit. Any thread may ask."""
        return len(self._listener.connections), self._listener.limit

    @property
    def alive(self) -> bool:
        """Whether it takes requests and answers them; any thread may ask."""
        return self._thread.is_alive() and not self._stopped

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function in its next turn. Any thread may ask."""
        self._dispatch.call(answer)

    def start(self) -> None:
        """Serve."""
        self._workers.start()
        self._large_workers.start()
        self._thread.start()

    def drain(self, timeout: float) -> None:
        """Accept nothing new, let requests that have begun be answered within `timeout` seconds, then close
        connections."""
        if self._stopped:
            return
        self._stopped = True
        if self._thread.is_alive():
            future = asyncio.run_coroutine_threadsafe(self._listener.drain(timeout), self._loop)
            try:
                future.result(timeout + _MORE_SECONDS)
            except TimeoutError:
                future.cancel()

    def stop(self, timeout: float) -> None:
        """`drain`, then end the threads."""
        self.drain(timeout)
        if self._loop.is_closed():
            return
        self._dispatch.stop_waking()  # commits and workers may still end after this
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_MORE_SECONDS)
            self._workers.stop(1)
            self._large_workers.stop(1)
        self._sock.close()
        if not self._thread.is_alive():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._listener.start)
        self._loop.run_forever()
