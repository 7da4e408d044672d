"""waitress, corrected: what its version 3.0.2 does badly under our load, and defaults that are too open.

The corrections reach into this version's inner parts, so another version is refused at start.
"""

import contextlib
import importlib.metadata
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import waitress.adjustments
import waitress.channel
import waitress.parser
import waitress.server
import waitress.task
import waitress.utilities
from waitress import wasyncore

from router.errors import StartError
from router.intake.reply import problem
from router.intake.resource import HEADERS_KEY
from router.settings import MAX_CONNECTIONS, REQUEST_SECONDS

WAITRESS = "3.0.2"
THREADS = 32  #: each may wait for a commit; a batch of commits is as large as this at the most
BACKLOG = 1024
MAX_HEADERS = 100  #: of one request; real senders need 30
HEADER_BYTES = 64 * 1024  #: of one request; real senders need a tenth
BODY_MEMORY = 1024 * 1024  #: bytes of a body kept in memory; a larger one goes to a temporary file while it arrives
IDLE_SECONDS = 120  #: how long a connection may say nothing
LINGER_SECONDS = 2.0  #: how long a refused sender may go on sending before its connection is cut
_SWEEP_SECONDS = 2
_POLL_SECONDS = 0.25
_BEHIND_SECONDS = 0.05

_TOO_MANY = "too many headers"
_ERRORS = {
    400: "the request is not valid HTTP",
    413: "the body is larger than any source takes",
    431: f"the headers are more than {MAX_HEADERS}, or larger than {HEADER_BYTES} bytes",
    500: "the request failed by a fault of the router's; send it again",
    501: "of transfer encodings only chunked is taken",
}


class _Parser(waitress.parser.HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Keeps the headers as they arrived: waitress joins repeated ones with commas and loses their case."""

    error: Any = None

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        lines = waitress.parser.get_header_lines(header_plus[header_plus.find(b"\r\n") + 2 :])
        if len(lines) > MAX_HEADERS:
            raise waitress.parser.ParsingError(_TOO_MANY)
        pairs = (line.partition(b":") for line in lines)
        # Names with underscores are dropped, as waitress does: proxies and applications confuse them with dashes.
        self.items_as_received = tuple(
            (name.decode("latin-1"), value.strip(b" \t").decode("latin-1"))
            for name, _, value in pairs
            if b"_" not in name
        )

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if self.error is not None and self.error.body == _TOO_MANY:
            self.error = waitress.utilities.RequestHeaderFieldsTooLarge(_TOO_MANY)
        return consumed


class _Task(waitress.task.WSGITask):  # type: ignore[misc]  # waitress has no types
    """Hands on the headers as they arrived."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[HEADERS_KEY] = self.request.items_as_received
        return environ


class _ErrorTask(waitress.task.ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers waitress's own refusals as problem+json, without repeating what was sent."""

    def execute(self) -> None:
        code = self.request.error.code
        reply = problem(code, _ERRORS.get(code, "the request can't be taken"))
        self.channel.refused = True
        self.status = reply.status_line
        self.response_headers.append(("Content-Type", reply.content_type))
        self.set_close_on_finish()
        self.content_length = len(reply.body)
        self.write(reply.body)


class _Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]  # waitress has no types
    parser_class = _Parser
    task_class = _Task
    error_task_class = _ErrorTask
    request_began: float | None = None  #: monotonic, of the request that is being received
    refused = False  #: an answer was given before the request was read to its end
    lingering_since: float | None = None  #: monotonic; what still comes is thrown away

    def writable(self) -> bool:
        # While a worker writes an answer it holds the output's lock and waits for the GIL; waitress then says
        # "writable" some 30,000 times a second, tries the lock, fails, and keeps the GIL from the worker. The worker
        # flushes by itself and wakes the loop when it is done, so until then there is nothing to write.
        if self.lingering_since is not None or (self.requests and not (self.will_close or self.close_when_flushed)):
            return False
        return bool(super().writable())

    def readable(self) -> bool:
        return self.lingering_since is not None or bool(super().readable())

    def handle_read(self) -> None:
        if self.lingering_since is None:
            super().handle_read()
        elif not self.recv(self.adj.recv_bytes):
            self.handle_close()

    def handle_close(self) -> None:
        # Closing while the sender still sends makes its kernel throw away the refusal that it has not read yet.
        if self.refused and self.lingering_since is None and self.connected:
            self.lingering_since = time.monotonic()
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()

    def received(self, data: bytes) -> bool:
        taken = bool(super().received(data))
        if self.request is None:
            self.request_began = None
        elif self.request_began is None:
            self.request_began = time.monotonic()
        return taken


class _Listener(waitress.server.TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    channel_class = _Channel
    request_seconds = REQUEST_SECONDS

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        # Any byte counts as activity, so a drip of single bytes would live for ever without a bound on the whole.
        now = time.monotonic()
        for channel in list(self.active_channels.values()):
            if channel.request_began is not None and channel.request_began < now - self.request_seconds:
                channel.will_close = True
            if channel.lingering_since is not None and channel.lingering_since < now - LINGER_SECONDS:
                channel.handle_close()


class Server:
    """One listener with its workers. `start` and `stop` belong to one thread; it serves in threads of its own."""

    def __init__(
        self,
        app: Callable[..., Any],
        host: str,
        port: int,
        *,
        max_body: int = 1024 * 1024,
        threads: int = THREADS,
        connections: int = MAX_CONNECTIONS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Bind. Raises StartError when the address can't be had, or waitress is another version."""
        found = importlib.metadata.version("waitress")
        if found != WAITRESS:
            raise StartError(f"this program needs waitress {WAITRESS}, found {found}; install it again")
        # A warning for each request that waits for a worker is noise: the answers' latency says it.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._map: dict[int, Any] = {}
        self._ending = False
        self._stopped = False
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        sock = _bind(host, port, shown)
        try:
            self._adj = waitress.adjustments.Adjustments(
                sockets=[sock],
                threads=threads,
                ident=None,
                backlog=BACKLOG,
                connection_limit=connections,
                asyncore_use_poll=True,  # select can't see descriptors past 1023
                max_request_header_size=HEADER_BYTES,
                inbuf_overflow=BODY_MEMORY,
                channel_timeout=IDLE_SECONDS,
                cleanup_interval=_SWEEP_SECONDS,
                clear_untrusted_proxy_headers=False,  # they are data here: nothing believes them
                expose_tracebacks=False,
                log_socket_errors=False,
            )
            self.max_body = max_body
            self._tasks = waitress.task.ThreadedTaskDispatcher()
            info = (sock.family, sock.type, sock.proto, sock.getsockname())
            self._server = _Listener(
                app, self._map, _sock=sock, dispatcher=self._tasks, adj=self._adj, bind_socket=False, sockinfo=info
            )
        except BaseException:
            sock.close()
            raise
        self._server.request_seconds = request_seconds
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._run, name=f"http-{self.port}", daemon=True)
        self._threads = threads

    @property
    def max_body(self) -> int:
        """The largest body that is received at all, in bytes; a reload may change it."""
        return int(self._adj.max_request_body_size) - 1

    @max_body.setter
    def max_body(self, size: int) -> None:
        self._adj.max_request_body_size = size + 1  # waitress refuses from this size on

    def is_busy(self) -> bool:
        """Whether a request is being answered; any thread may ask."""
        return bool(self._tasks.active_count or self._tasks.queue)

    def start(self) -> None:
        """Serve."""
        self._tasks.set_thread_count(self._threads)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop: accept nothing new, let requests that have begun be answered within `timeout` seconds, then close.

        In that order, since whoever is not accepted can be sent elsewhere, while a request that is cut off in the
        middle leaves its sender in doubt.
        """
        if self._stopped:
            return
        self._stopped = True
        if self._thread.is_alive():
            deadline = time.monotonic() + timeout
            self._server.trigger.pull_trigger(self._stop_accepting)
            while self._server.active_channels and time.monotonic() < deadline:
                self._server.trigger.pull_trigger(self._close_idle)
                time.sleep(_BEHIND_SECONDS)
            self._ending = True
            self._server.trigger.pull_trigger()
            self._thread.join(10)
            self._tasks.shutdown(timeout=1)
        wasyncore.close_all(self._map)

    def _run(self) -> None:
        while not self._ending:
            wasyncore.poll2(_POLL_SECONDS, self._map)

    def _stop_accepting(self) -> None:
        # Whoever connected before the stop has perhaps sent a request already: closing now would reset it unread.
        for _ in range(BACKLOG):
            before = len(self._server.active_channels)
            self._server.handle_accept()
            if len(self._server.active_channels) == before:
                break
        self._server.accepting = False
        wasyncore.dispatcher.close(self._server)

    def _close_idle(self) -> None:
        for channel in list(self._server.active_channels.values()):
            busy = channel.requests or channel.request is not None or channel.total_outbufs_len
            if not busy and not _has_unread(channel.socket):
                with contextlib.suppress(OSError):
                    channel.handle_close()


def _has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _bind(host: str, port: int, shown: str) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
    except OSError as error:
        raise StartError(f"can't listen on {shown}: {error.strerror or error}; check the address") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise StartError(
            f"can't listen on {shown}: {error.strerror}; stop what listens there, or choose another"
        ) from None
    return sock
