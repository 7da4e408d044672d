"""A TCP proxy that delays, stalls, refuses or cuts the connections between a client and a server."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable

_CHUNK = 64 * 1024

Cut = Callable[[bytes], bool]
"""Whether the connection is to be cut at this piece of data."""


class FaultyProxy:
    """Passes connections on to a server. Any thread may change its faults, which also apply to open connections."""

    def __init__(self, port: int) -> None:
        """`port`: the port of the server on loopback."""
        self._server = port
        self.delay = 0.0  #: seconds that each piece of data waits, in both directions
        self.stalled = threading.Event()  #: while it is set, no data passes, and the connections stay open
        self.refusing = False  #: cut new connections at once
        self.cut_before: Cut = lambda _: False  #: which requests to cut instead of passing them on
        self.cut_after: Cut = lambda _: False  #: which requests to pass on, with a cut instead of the answer
        self.cut_answer: Cut = lambda _: False  #: which answers to cut instead of passing them back
        self.cuts = 0
        self.refused = 0  #: number of connections
        self._closing = threading.Event()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            _shut(*pair)

    def close(self) -> None:
        """Cut all connections and accept no more."""
        self._closing.set()
        self.stalled.clear()
        _shut(self._listener)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                self.refused += 1
                client.close()
                continue
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            client.close()
            return
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        try:
            with contextlib.suppress(OSError):
                self._relay(client, server)
        finally:
            with self._lock:
                self._pairs.discard(pair)
            client.close()
            server.close()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        cut_answer = False
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self._closing.is_set():
                for key, _ in ready.select(0.2):
                    data = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr]
                    self._wait()
                    if not data:
                        return
                    if key.fileobj is client:
                        if self.cut_before(data):
                            self.cuts += 1
                            return
                        cut_answer = cut_answer or self.cut_after(data)
                    elif cut_answer or self.cut_answer(data):
                        self.cuts += 1
                        return
                    key.data.sendall(data)

    def _wait(self) -> None:
        if self.delay:
            time.sleep(self.delay)
        while self.stalled.is_set() and not self._closing.is_set():
            time.sleep(0.01)


def holds_commit(data: bytes) -> bool:
    """Whether a piece of PostgreSQL's protocol contains a COMMIT."""
    return b"COMMIT\0" in data


def answers_commit(data: bytes) -> bool:
    """Whether a piece of the server's answers says that a transaction is committed. The request may name a prepared
    statement instead of COMMIT."""
    return b"\0\0\0\x0bCOMMIT\0" in data


def holds_batch(data: bytes) -> bool:
    """Whether a piece is larger than a heartbeat. A transaction is sent in one flush."""
    return len(data) > 600


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
