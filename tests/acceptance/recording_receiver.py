"""A receiver that misbehaves now and then, and remembers which life of the daemon sent what, and when."""

import json
import threading
import time
import zlib
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SLOW_SECONDS = 0.03
_PATIENCE_SECONDS = 60.0
_SUCCEEDS_FROM_ATTEMPT = 4  #: from this attempt on all is well, so that no delivery fails for ever


@dataclass(slots=True)
class RecordedRequest:
    """One request of an attempt."""

    life: int
    delivery: str
    number: int  #: of the attempt
    event: str
    ordered: bool
    lane: str
    place: int  #: of the event in its lane
    began: float  #: monotonic seconds
    ended: float | None = None  #: just before it was answered or hung up on
    status: int | None = None  #: answered; none: hung up on

    @property
    def kept(self) -> bool:
        """Whether it was answered that all went well."""
        return self.status == 200


class RecordingReceiver:
    """Start it, point the daemon at `url`, read `seen` in the order of arrival. Faults are what must never happen."""

    def __init__(self) -> None:
        self.seen: list[RecordedRequest] = []
        self.faults: list[str] = []
        self.kept = 0
        self.most = 0  #: requests under way at once
        self.refused: set[tuple[str, int]] = set()  #: lane and place of events that are answered 410
        self.gate = threading.Event()  #: while it is not set, nothing is answered
        self.gate.set()
        self._open: dict[tuple[int, str], RecordedRequest] = {}
        self._lanes: dict[tuple[int, str], RecordedRequest] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def begin(self, seen: RecordedRequest) -> None:
        """A request has arrived. One life may have one attempt of a delivery under way, and one of a lane."""
        with self._lock:
            self.seen.append(seen)
            other = self._open.get((seen.life, seen.delivery))
            if other is not None:
                self.faults.append(f"two attempts of one delivery at once: {other} and {seen}")
            self._open[seen.life, seen.delivery] = seen
            self.most = max(self.most, len(self._open))
            if seen.ordered:
                before = self._lanes.get((seen.life, seen.lane))
                if before is not None:
                    self.faults.append(f"two deliveries of one order key at once: {before} and {seen}")
                self._lanes[seen.life, seen.lane] = seen

    def end(self, seen: RecordedRequest, status: int | None) -> None:
        """It is about to be answered: before that nobody can know, after it the next may come at once."""
        with self._lock:
            seen.ended, seen.status = time.monotonic(), status
            self.kept += status == 200
            self._open.pop((seen.life, seen.delivery), None)
            if seen.ordered:
                self._lanes.pop((seen.life, seen.lane), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """A daemon that was killed is no news here."""


def _handler(witness: RecordingReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen = RecordedRequest(
                life=int(self.headers["X-Life"]),
                delivery=self.headers["Idempotency-Key"],
                number=int(self.headers["webhook-attempt"]),
                event=self.headers["webhook-id"],
                ordered=self.path.startswith("/ordered"),
                lane=body["lane"] + self.path.removeprefix("/ordered"),
                place=body["place"],
                began=time.monotonic(),
            )
            witness.begin(seen)
            witness.gate.wait(_PATIENCE_SECONDS)
            status = 410 if (body["lane"], seen.place) in witness.refused else _simulated_failure(seen)
            witness.end(seen, status)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    return Handler


def _simulated_failure(seen: RecordedRequest) -> int | None:
    """The status to answer, perhaps late; none: hang up. The same attempt meets the same trouble."""
    draw = zlib.crc32(f"{seen.delivery} {seen.number}".encode()) % 100
    if draw < 15:
        time.sleep(_SLOW_SECONDS)
    if seen.number < _SUCCEEDS_FROM_ATTEMPT:
        if 10 <= draw < 20:
            return 500
        if 20 <= draw < 24:
            return None
    return 200
