"""The server waitress, used through its documented interface: a WSGI application served in threads.

The caller may give its loop the map of sockets to watch, as with asyncore. The loop reads this map once in each turn.
There this module cuts connections that waitress's own settings would keep: those that take too long to send a request,
and some idle ones when all connections are taken. `docs/security.md` lists the remaining differences from our own
server.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import structlog
import waitress
import waitress.channel

from router.http.binding import listen
from router.http.limits import BACKLOG, BODY_MEMORY, BUSY_SECONDS, HEADER_BYTES, REQUEST_SECONDS, SWEEP_SECONDS
from router.http.waitress_listener import Listener
from router.http.waitress_writable import OUTPUT_BYTES, correct_writable
from router.http.wsgi import Application, Environ, StartResponse

_TURN_SECONDS = 1  #: the longest sleep of waitress's loop; it takes whole seconds, and 0 would be a busy loop
_BEHIND_SECONDS = 0.02  #: during a stop, between two checks of what is under way
_IDLE_SECONDS = 120  #: how long a connection may be silent

log = structlog.get_logger()

Peer = tuple[str, int]


class _Sockets(dict[int, Any]):
    """What waitress's loop watches, by descriptor. The loop reads all of it once in each turn."""

    def __init__(self, each_turn: Callable[[], None]) -> None:
        super().__init__()
        self._each_turn = each_turn

    def items(self) -> Any:
        self._each_turn()
        return super().items()


class WaitressServer:
    """One listener. `start` and `stop` belong to one thread; it serves in threads of its own."""

    def __init__(
        self,
        app: Application,
        host: str,
        port: int,
        *,
        threads: int,
        connections: int,
        largest_body: int,
        request_seconds: float = REQUEST_SECONDS,
        name: str = "",
    ) -> None:
        """Bind and listen, without answering yet. Raises StartError when the address is not available."""
        # A warning for each request that waits for a worker is noise: the latency metric shows it.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._app = app
        self._limit = connections
        self._name = name
        self._request_seconds = request_seconds
        self._sock = Listener(listen(host, port))
        self.port = int(self._sock.getsockname()[1])
        self._sockets = _Sockets(self._turn)
        self._pings: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._under_way: set[Peer] = set()
        self._asked_at: dict[Peer, float] = {}  # monotonic: when a connection's last request was answered
        self._seen: dict[int, tuple[Any, Peer, float]] = {}  # by descriptor: the time since when the loop watches it
        self._last_request = 0.0
        self._swept_at = 0.0
        self._crowded = self._stopped = False
        self._server = self._create(threads, largest_body)
        correct_writable(self._server)
        self._accepting = self._sockets[self._sock.fileno()]
        self._own = set(self._sockets)  # its listener and its wake-up pipe
        self._thread = threading.Thread(target=self._server.run, name=f"http-{self.port}", daemon=True)

    def _create(self, threads: int, largest_body: int) -> Any:
        """The server of waitress, with our limits."""
        return waitress.create_server(
            self._serve,
            map=self._sockets,
            sockets=[self._sock],
            threads=threads,
            ident=None,
            backlog=BACKLOG,
            # waitress counts its own two, and some connections are being cut
            connection_limit=self._limit + 2 + max(1, self._limit // 8),
            channel_timeout=_IDLE_SECONDS,
            cleanup_interval=2,
            max_request_header_size=HEADER_BYTES,
            max_request_body_size=largest_body,
            inbuf_overflow=BODY_MEMORY,
            outbuf_high_watermark=OUTPUT_BYTES,
            asyncore_loop_timeout=_TURN_SECONDS,
            asyncore_use_poll=True,  # select ends at descriptor 1023
            clear_untrusted_proxy_headers=False,  # they stay ordinary headers; nothing trusts them
            expose_tracebacks=False,
            log_socket_errors=False,
        )

    def is_busy(self) -> bool:
        """Whether requests are being answered; any thread may ask."""
        return bool(self._under_way) or time.monotonic() - self._last_request < BUSY_SECONDS

    def connections(self) -> tuple[int, int]:
        """The number of open connections, and their limit. Any thread may ask."""
        return max(0, len(self._sockets) - len(self._own)), self._limit

    @property
    def alive(self) -> bool:
        """Whether it takes requests and answers them; any thread may ask."""
        return self._thread.is_alive() and not self._stopped

    def ping(self, answer: Callable[[], None]) -> None:
        """Have the loop call a function in its next turn, within a second. Any thread may ask."""
        self._pings.append(answer)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop: accept nothing new, let requests under way be answered within `timeout` seconds, then close."""
        if self._stopped:
            return
        with self._lock:
            self._stopped = True
            self._sockets.pop(self._sock.fileno(), None)
            self._sock.close()
        deadline = time.monotonic() + timeout
        while self._thread.is_alive() and self.is_busy() and time.monotonic() < deadline:
            time.sleep(_BEHIND_SECONDS)
        watched = list(self._sockets.values())
        self._sockets.clear()  # an empty map ends the loop
        if self._thread.is_alive():
            self._wake_loop()
            self._thread.join(1 + _TURN_SECONDS)
        # otherwise a worker may still write to the wake-up pipe, whose descriptor could then be another file
        if not self._under_way:
            self._end_workers()
            for one in watched:
                one.close()

    def _wake_loop(self) -> None:
        """End the loop's sleep early. Without this method in waitress the loop ends its sleep by itself."""
        wake = getattr(self._server, "pull_trigger", None)
        if wake is not None:
            wake()

    def _end_workers(self) -> None:
        """Stop waitress's threads. They are daemon threads: without this method in waitress they end with the
        process."""
        shutdown = getattr(getattr(self._server, "task_dispatcher", None), "shutdown", None)
        if shutdown is not None:
            shutdown(timeout=1)

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application, and note which peer has a request under way."""
        peer = str(environ.get("REMOTE_ADDR", "")), int(environ.get("REMOTE_PORT") or 0)
        self._last_request = time.monotonic()
        with self._lock:
            self._under_way.add(peer)
        try:
            return list(self._app(environ, start_response))
        finally:
            self._last_request = time.monotonic()
            with self._lock:
                self._under_way.discard(peer)
                self._asked_at[peer] = self._last_request

    def _turn(self) -> None:
        """Called by the loop's thread, before it waits."""
        while self._pings:
            self._pings.popleft()()
        now = time.monotonic()
        self._watch_listener(now)
        crowded = len(self._sockets) - len(self._own) >= self._limit
        if crowded or now > self._swept_at + SWEEP_SECONDS:
            self._swept_at = now
            self._sweep(now, crowded=crowded)

    def _watch_listener(self, now: float) -> None:
        with self._lock:
            if self._stopped:
                return
            if self._sock.rests(now):
                self._sockets.pop(self._sock.fileno(), None)
            else:
                self._sockets[self._sock.fileno()] = self._accepting

    def _sweep(self, now: float, *, crowded: bool) -> None:
        """Close connections that are silent too long, and the most silent ones when all are taken."""
        self._seen = {
            number: self._seen[number] if self._seen.get(number, (None,))[0] is one else (one, one.addr, now)
            for number, one in dict.items(self._sockets)
            if number not in self._own
        }
        with self._lock:
            peers = {peer for _, peer, _ in self._seen.values()}
            self._asked_at = {peer: at for peer, at in self._asked_at.items() if peer in peers}
            quiet = [
                (self._asked_at.get(peer, since), one)
                for one, peer, since in self._seen.values()
                if peer not in self._under_way
            ]
        quiet.sort(key=lambda found: found[0])
        cut = [one for at, one in quiet if now > at + max(self._request_seconds, _IDLE_SECONDS)]
        if crowded:
            self._log_full()
            cut = [one for _, one in itertools.islice(quiet, max(1, self._limit // 4))]
        else:
            self._crowded = False
        for one in cut:
            one.handle_close()

    def _log_full(self) -> None:
        if not self._crowded:
            self._crowded = True
            where = {"listener": self._name} if self._name else {}
            log.warning("all connections are in use; idle ones are cut", connections=self._limit, **where)
