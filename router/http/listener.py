"""The event loop's side of a server: accepts connections, evicts others for them, and enforces deadlines.

Everything here belongs to the loop's thread.
"""

import asyncio
import errno
import socket
import time
from functools import partial

import structlog

from router.http.certificate import Certificate
from router.http.connection import Connection, read_buffer
from router.http.contract import BodyLimit
from router.http.dispatch import Dispatch
from router.http.eviction import to_evict
from router.http.limits import ACCEPTED_AT_ONCE, BACKLOG, GRACE_SECONDS, REST_SECONDS, STILL_SECONDS, SWEEP_SECONDS
from router.http.refusals import Refusals
from router.http.tls_transport import TlsTransport

_BEHIND_SECONDS = 0.05  #: between two checks of the open connections, during a stop

log = structlog.get_logger()


class Listener:
    """One listening socket and its connections."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        dispatch: Dispatch,
        body_limit: BodyLimit,
        limit: int,
        request_seconds: float,
        refusals: Refusals,
        tls: Certificate | None = None,
        at_once: int = ACCEPTED_AT_ONCE,
    ) -> None:
        self.buffer = read_buffer()
        self.body_limit = body_limit
        self.dispatch = dispatch
        self.stopping = False
        self.request_seconds = request_seconds
        self.limit = limit
        self.connections: set[Connection] = set()
        self._share = max(1, limit // 32)  # evicted at once: choosing among all of them costs a millisecond
        self._sock = sock
        self._loop = loop
        self._refusals = refusals
        self._tls = tls
        self._at_once = at_once
        self._insists = 0.0  # monotonic; until then a connection that no other process accepts may evict others
        self._accepting = False
        self._is_full = False  # and the log says so

    def start(self) -> None:
        """Serve."""
        self._accept_again()
        self._sweep()

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.free(connection)

    def free(self, _: Connection) -> None:
        """A connection has no request under way, so it may be evicted."""
        if not self._accepting and not self.stopping and self._is_full:
            self._loop.call_soon(self._accept_again)

    # Accepting.

    def _accept_again(self) -> None:
        if not self._accepting and not self.stopping:
            self._accepting = True
            self._loop.add_reader(self._sock, self._accept)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._sock)

    def _accept(self) -> None:
        if self._leaves_it_to_others():
            return
        # When all connections are taken, accept only a few, so that their first bytes are read before they may be
        # evicted.
        for _ in range(self._at_once if len(self.connections) < self.limit else self._share):
            victims = self._victims()
            if victims is None:
                self._log_full()
                self._pause()  # until one has its reply, or its grace ends
                self._loop.call_later(GRACE_SECONDS, self._accept_again)
                return
            if not self._accept_one():
                return
            for connection in victims:
                self.connections.discard(connection)  # its transport reports its end only later
                connection.cut()

    def _leaves_it_to_others(self) -> bool:
        """When all connections are taken, wait a moment: another process that accepts from the same socket may have
        room."""
        now = time.monotonic()
        if self._at_once > 1 or len(self.connections) < self.limit or now < self._insists:
            return False
        self._insists = now + 2 * GRACE_SECONDS
        self._pause()
        self._loop.call_later(GRACE_SECONDS, self._accept_again)
        return True

    def _victims(self) -> list[Connection] | None:
        """The connections to close for one that waits. Empty when there is room; None when none can be closed."""
        if len(self.connections) < self.limit:
            return []
        return to_evict(self.connections, self._share, time.monotonic()) or None

    def _accept_one(self) -> bool:
        """Accept one connection. Returns whether more may be waiting."""
        try:
            sock, address = self._sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            # The waiting connection would wake the loop again and again.
            reason = errno.errorcode.get(error.errno or 0, "")
            log.error("connection can't be accepted; further senders wait", error=reason)
            self._pause()
            self._loop.call_later(REST_SECONDS, self._accept_again)
            return False
        sock.settimeout(0)
        if len(self.connections) >= self.limit:
            self._log_full()
        connection = Connection(self, str(address[0]), self._loop)
        self.connections.add(connection)
        opening = self._loop.create_task(self._open(connection, sock))
        opening.add_done_callback(partial(self._opened, connection, sock))
        connection.opening = opening
        return True

    async def _open(self, connection: Connection, sock: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: self._protocol(connection), sock)

    def _protocol(self, connection: Connection) -> asyncio.BufferedProtocol:
        if self._tls is None:
            return connection
        failed = partial(self._handshake_failed, connection.ip)
        return TlsTransport(connection, self._tls.context, self.buffer, self._loop, failed)

    def _handshake_failed(self, ip: str, reason: str, status: int | None) -> None:
        self._refusals.tell(None, status, reason, ip, None)
        if status is not None:
            self.dispatch.count("", status)

    def _opened(self, connection: Connection, sock: socket.socket, opening: "asyncio.Task[None]") -> None:
        connection.opening = None
        if opening.cancelled() or opening.exception() is not None:  # it was cut, or its sender is gone
            sock.close()
            self.closed(connection)

    def _log_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            text = "all connections are in use; those without an accepted request are cut for others"
            log.warning(text, connections=self.limit)

    # Deadlines.

    def _sweep(self) -> None:
        self._loop.call_later(SWEEP_SECONDS, self._sweep)  # first, so that a fault below does not end the sweeps
        now = time.monotonic()
        self._is_full = self._is_full and len(self.connections) >= self.limit // 2
        for connection in list(self.connections):
            connection.check(now)
        self.dispatch.answer_old(now)
        self._refusals.tell_rest()

    # Stopping.

    async def drain(self, seconds: float) -> None:
        """Accept nothing new, let what has begun be answered, then close.

        In this order: a load balancer sends new connections elsewhere, but a request that is cut off leaves its sender
        in doubt.
        """
        deadline = time.monotonic() + seconds
        self._stop_accepting()
        await asyncio.sleep(0)
        while self.connections and time.monotonic() < deadline:
            self._close_idle()
            await asyncio.sleep(_BEHIND_SECONDS)
        self.dispatch.answer_all()
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(_BEHIND_SECONDS if self.connections else 0)
        for connection in list(self.connections):
            connection.cut()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # transports tell of their end in the next turn

    def _stop_accepting(self) -> None:
        # Connections in the kernel's queue may hold a request already; closing the socket would reset them unread.
        for _ in range(BACKLOG):
            if len(self.connections) >= self.limit or not self._accept_one():
                break
        self._pause()
        self.stopping = True
        self._sock.close()

    def _close_idle(self) -> None:
        # A sender that has just got its answer may be sending its next request. That one is answered too, as the last.
        still = time.monotonic() - STILL_SECONDS
        for connection in list(self.connections):
            if connection.is_idle and connection.active_at < still:
                connection.close()
