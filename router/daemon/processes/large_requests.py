"""Large requests, on their way from an intake process to the one that judges them, and their replies back.

The main process makes the queue: a pair of sockets that outlives the processes at its ends. Each message in it is an
end of another pair, which an intake process made for one request: the request goes in, the reply comes out. When one of
the two processes ends, the other reads the end of that socket.
"""

import socket
import struct
import time
from typing import NamedTuple

import orjson

from router.domain.reply import Reply
from router.domain.request import Inbound
from router.http.contract import Request

_LENGTHS = struct.Struct("<II")  # of the JSON, and of the body after it
_OFFER = b"r"


class HandedRequest(NamedTuple):
    """A request as it arrives at the process that judges it."""

    request: Request
    since: float  #: monotonic, the time when it was handed over


def queue() -> tuple[socket.socket, socket.socket]:
    """The ends of the queue: for the intake processes, and for the process that handles large requests. Both block."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class LargeRequests:
    """Hands large requests over. Any thread may call it; each call blocks until the reply comes."""

    def __init__(self, queue_end: socket.socket) -> None:
        self._queue = queue_end

    def judge(self, inbound: Inbound) -> Reply | None:
        """The reply; the other process has counted and logged it. None when that process ended before."""
        try:
            with self._offer() as sock:
                _send(sock, _head(inbound), inbound.body)
                head, body = _receive(sock)
        except OSError:
            return None
        status, content_type, headers = orjson.loads(head)
        return Reply(status, body, content_type, tuple(map(tuple, headers)))

    def _offer(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._queue, [_OFFER], [theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        return ours


def next_request(queue_end: socket.socket) -> socket.socket | None:
    """Wait for a request. Returns the socket that it comes from; None when no intake process is left."""
    message, descriptors, _, _ = socket.recv_fds(queue_end, len(_OFFER), 1)
    return socket.socket(fileno=descriptors[0]) if message and descriptors else None


def read_request(sock: socket.socket) -> HandedRequest:
    """Read the request. Raises OSError when the process that sent it is gone."""
    head, body = _receive(sock)
    method, path, query, headers, ip, since = orjson.loads(head)
    return HandedRequest(Request(method, path, query, tuple(map(tuple, headers)), body, ip), since)


def send_reply(sock: socket.socket, reply: Reply) -> None:
    """Send the reply. Raises OSError when nobody waits for it."""
    _send(sock, orjson.dumps((reply.status, reply.content_type, reply.headers)), reply.body)


def _head(inbound: Inbound) -> bytes:
    since = time.monotonic()  # this clock is the same in all processes
    return orjson.dumps((inbound.method, inbound.path, inbound.query, inbound.headers, inbound.ip, since))


def _send(sock: socket.socket, head: bytes, body: bytes) -> None:
    sock.sendall(_LENGTHS.pack(len(head), len(body)) + head)
    sock.sendall(body)


def _receive(sock: socket.socket) -> tuple[bytes, bytes]:
    head, body = _LENGTHS.unpack(_exactly(sock, _LENGTHS.size))
    return _exactly(sock, head), _exactly(sock, body)


def _exactly(sock: socket.socket, size: int) -> bytes:
    found = sock.recv(size, socket.MSG_WAITALL) if size else b""
    if len(found) < size:
        raise ConnectionError("the other process is gone")
    return found
