"""A pooler in transaction mode, like pgbouncer: each transaction of a client may use another session of the server.

Sessions are not reset in between, and a client gets another session each time if one is free. So everything that needs
a session fails: prepared statements, LISTEN, settings and locks.
"""

import contextlib
import select
import socket
import struct
import threading
from collections import deque

from tests.postgres import PATIENCE_SECONDS

_TLS_REQUEST, _GSS_REQUEST = 80877103, 80877104
_SESSIONS = 3  #: sessions of the server that are opened before one is reused


class TransactionPooler:
    """Listens on loopback for clients of one database."""

    def __init__(self, port: int) -> None:
        """`port`: the port of the server."""
        self._port = port
        self._lock = threading.Lock()
        self._free: deque[_Session] = deque()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.switches = 0  #: number of transactions that used another session than the client's last one
        self.of_sessions: list[str] = []  #: messages of clients whose effect outlives a transaction
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut all connections and accept no more."""
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        for session in self._free:
            session.socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.settimeout(PATIENCE_SECONDS)
            startup = _startup(client)
            for _ in range(_SESSIONS):
                session = _Session(self._port, startup)
                self._release(session)
            client.sendall(session.greeting)
            last: _Session | None = None
            while self._readable(client):
                first = client.recv(65536)
                if not first or first[:1] == b"X":
                    return
                session = self._free_one()
                self.switches += session is not last
                last = session
                with contextlib.ExitStack() as broken:
                    broken.callback(session.socket.close)
                    self._transaction(client, session, first)
                    broken.pop_all()
                self._release(session)

    def _free_one(self) -> "_Session":
        with self._lock:
            return self._free.popleft()  # the session that was used the longest ago

    def _release(self, session: "_Session") -> None:
        with self._lock:
            self._free.append(session)

    def _readable(self, *sockets: socket.socket) -> list[socket.socket]:
        while not self._closing.is_set():
            if ready := select.select(sockets, [], [], 0.1)[0]:
                return ready
        return []

    def _transaction(self, client: socket.socket, session: "_Session", first: bytes) -> None:
        """Relay until the server has answered everything and reports that no transaction is open."""
        asked, answers, waiting = _Messages(), _Messages(), 0
        data, source = first, client
        while True:
            if source is client:
                for kind, body in asked.of(data):
                    waiting += kind in b"SQ"
                    self._note(kind, body)
                session.socket.sendall(data)
            else:
                idle = False
                for kind, body in answers.of(data):
                    waiting -= kind == b"Z"
                    idle = kind == b"Z" and body == b"I"
                client.sendall(data)
                if idle and waiting == 0:
                    return
            ready = self._readable(client, session.socket)
            if not ready:
                raise EOFError
            source = ready[0]
            data = source.recv(65536)
            if not data:
                raise EOFError

    def _note(self, kind: bytes, body: bytes) -> None:
        text = body.decode(errors="replace")
        if kind == b"P" and not text.startswith("\0"):
            self.of_sessions.append(f"prepares {text}")
        statement = text.split("\0")[1 if kind == b"P" else 0].lstrip().upper() if kind in b"PQ" else ""
        if statement.startswith(("LISTEN", "PREPARE", "DECLARE")) or "PG_ADVISORY_LOCK(" in statement:
            self.of_sessions.append(statement)
        if statement.startswith("SET ") and not statement.startswith(("SET LOCAL", "SET TRANSACTION")):
            self.of_sessions.append(statement)


class _Session:
    """A session of the server."""

    def __init__(self, port: int, startup: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.sendall(startup)
        self.greeting = b""
        while not self.greeting.endswith(b"Z\0\0\0\5I"):
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.greeting += data


class _Messages:
    """Splits received pieces into complete messages."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Add a piece. Return the complete messages as kind and body."""
        self._rest += data
        found = []
        while len(self._rest) >= 5:
            end = 1 + struct.unpack_from("!i", self._rest, 1)[0]
            if len(self._rest) < end:
                break
            found.append((self._rest[:1], self._rest[5:end]))
            self._rest = self._rest[end:]
        return found


def _startup(client: socket.socket) -> bytes:
    """The client's first message, after the answer that there is no encryption."""
    while True:
        head = client.recv(8, socket.MSG_WAITALL)
        if len(head) < 8:
            raise EOFError
        length, code = struct.unpack("!ii", head)
        if code not in (_TLS_REQUEST, _GSS_REQUEST):
            return head + client.recv(length - 8, socket.MSG_WAITALL)
        client.sendall(b"N")
