"""The intake as a WSGI application that another program's server calls."""

import threading
import time
from collections.abc import Callable, Iterable

from router.http.limits import BUSY_SECONDS
from router.http.problem import refusal
from router.http.wsgi import Application, Environ, StartResponse, WsgiApp
from router.intake.receiver import Receiver

_LOOK_SECONDS = 0.02  #: during a stop, between two checks of what is under way


class WsgiIntake:
    """The application, with the interface of a server. Any thread may call it."""

    def __init__(self, receiver: Receiver, port: int) -> None:
        """`port` is only shown. The server that hosts the application has bound it."""
        self.port = port
        self.alive = False  #: whether it takes requests
        self._app: Application = WsgiApp(
            receiver.handle, body_limit=receiver.body_limit, answered=receiver.answered, refusals=receiver.refusals
        )
        self._lock = threading.Lock()
        self._under_way = 0
        self._last_request = 0.0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not self.alive:
            return unavailable(start_response)
        self._last_request = time.monotonic()
        with self._lock:
            self._under_way += 1
        try:
            return self._app(environ, start_response)
        finally:
            with self._lock:
                self._under_way -= 1

    def is_busy(self) -> bool:
        """Whether requests are being answered."""
        return self._under_way > 0 or time.monotonic() - self._last_request < BUSY_SECONDS

    def connections(self) -> tuple[int, int]:
        """None: only the hosting server knows its connections."""
        return 0, 0

    @staticmethod
    def ping(answer: Callable[[], None]) -> None:
        """Answer at once: there is no loop that could hang."""
        answer()

    def start(self) -> None:
        """Take requests."""
        self.alive = True

    def stop(self, timeout: float) -> None:
        """Refuse new requests, and wait for those under way."""
        self.alive = False
        until = time.monotonic() + timeout
        while self._under_way and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)


def unavailable(start_response: StartResponse) -> Iterable[bytes]:
    """Answer 503, as problem+json."""
    reply = refusal(503)
    headers = [*reply.headers, ("Content-Type", str(reply.content_type)), ("Content-Length", str(len(reply.body)))]
    start_response(reply.status_line, headers)
    return [reply.body]
