"""A receiver that fails sometimes, and records the time and the daemon run of each request."""

import json
import threading
import time
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SLOW_SECONDS = 0.03
_PATIENCE_SECONDS = 60.0
_SUCCEEDS_FROM_ATTEMPT = 4  #: this and later attempts are answered 200, so that every delivery succeeds


@dataclass(slots=True)
class RecordedRequest:
    """A request of an attempt."""

    run: int  #: the number of the daemon run that sent it
    delivery: str
    number: int  #: the number of the attempt
    event: str
    ordered: bool
    lane: str
    place: int  #: the place of the event in its lane
    began: float  #: the monotonic time
    ended: float | None = None  #: just before the answer or the disconnect
    status: int | None = None  #: the answer's status, or None after a disconnect

    @property
    def succeeded(self) -> bool:
        """Whether it was answered 200."""
        return self.status == 200


class RecordingReceiver:
    """Listens at `url`. `requests` are in the order of arrival. `problems` must stay empty."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.problems: list[str] = []
        self.succeeded = 0
        self.max_concurrent = 0  #: the largest number of requests at once
        self.refused: set[tuple[str, int]] = set()  #: lane and place of events that are answered 410
        self.answering = threading.Event()  #: while it is unset, answers wait
        self.answering.set()
        self._open: dict[tuple[int, str], RecordedRequest] = {}
        self._lanes: dict[tuple[int, str], RecordedRequest] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def begin(self, request: RecordedRequest) -> None:
        """Record an arrival. A daemon run may make one attempt at a time for each delivery and for each order key."""
        with self._lock:
            self.requests.append(request)
            other = self._open.get((request.run, request.delivery))
            if other is not None:
                self.problems.append(f"two attempts of one delivery at once: {other} and {request}")
            self._open[request.run, request.delivery] = request
            self.max_concurrent = max(self.max_concurrent, len(self._open))
            if request.ordered:
                before = self._lanes.get((request.run, request.lane))
                if before is not None:
                    self.problems.append(f"two deliveries of one order key at once: {before} and {request}")
                self._lanes[request.run, request.lane] = request

    def end(self, request: RecordedRequest, status: int | None) -> None:
        """Record an end just before the answer, since the next request may come right after it."""
        with self._lock:
            request.ended, request.status = time.monotonic(), status
            self.succeeded += status == 200
            self._open.pop((request.run, request.delivery), None)
            if request.ordered:
                self._lanes.pop((request.run, request.lane), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """Ignore connections that a killed daemon closed."""


def _handler(receiver: RecordingReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = RecordedRequest(
                run=int(self.headers["X-Run"]),
                delivery=self.headers["Idempotency-Key"],
                number=int(self.headers["webhook-attempt"]),
                event=self.headers["webhook-id"],
                ordered=self.path.startswith("/ordered"),
                lane=body["lane"] + self.path.removeprefix("/ordered"),
                place=body["place"],
                began=time.monotonic(),
            )
            receiver.begin(request)
            receiver.answering.wait(_PATIENCE_SECONDS)
            status = 410 if (body["lane"], request.place) in receiver.refused else _simulated_failure(request)
            receiver.end(request, status)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    return Handler


def _simulated_failure(request: RecordedRequest) -> int | None:
    """The status of the answer, which may be late, or None for a disconnect. An attempt always fails in the same way."""
    draw = zlib.crc32(f"{request.delivery} {request.number}".encode()) % 100
    if draw < 15:
        time.sleep(_SLOW_SECONDS)
    if request.number < _SUCCEEDS_FROM_ATTEMPT:
        if 10 <= draw < 20:
            return 500
        if 20 <= draw < 24:
            return None
    return 200
