"""Exchanges raw bytes with a listener, since HTTP libraries send valid requests only."""

import contextlib
import json
import socket
import ssl
from typing import Any, Protocol

from router.domain.reply import Reply
from router.http.contract import Request
from tests.conftest import PATIENCE_SECONDS
from tests.http.tls_client import TlsClient


class Listening(Protocol):
    """A running server of any kind."""

    port: int


def echo(request: Request) -> Reply:
    """A handler that answers with the request that it got."""
    found = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "length": len(request.body),
    }
    return Reply(200, json.dumps(found).encode())


class Recorder:
    """A handler that answers like `echo` and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return echo(request)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


TLS_PORTS: dict[int, ssl.SSLContext] = {}
"""For each port on which TLS is spoken, what a client that trusts it uses."""


def connect(server: Listening, host: str = "127.0.0.1") -> Any:
    """Connect to the server from a loopback address, with TLS if the server uses it."""
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS, (host, 0))
    return TlsClient(plain, TLS_PORTS[server.port]) if server.port in TLS_PORTS else plain


def talk(server: Listening, *parts: bytes, close: bool = True, host: str = "127.0.0.1") -> bytes:
    """Send raw bytes and read until the server closes.

    The server may close after any part: the replies that arrived before are returned.
    """
    with connect(server, host) as connection:
        with contextlib.suppress(OSError):  # the server has closed; its replies can still be read
            for part in parts:
                connection.sendall(part)
            if close:
                connection.shutdown(socket.SHUT_WR)
        return rest(connection)


def rest(connection: socket.socket | TlsClient) -> bytes:
    """Read until the server closes. A reset after a reply counts as a close, a reset before it is an error."""
    received = bytearray()
    try:
        while part := connection.recv(65536):
            received += part
    except (ConnectionResetError, BrokenPipeError):
        if not received:
            raise
    return bytes(received)


def get(path: str = "/", *headers: str, version: str = "1.1") -> bytes:
    """The bytes of a GET request that closes its connection."""
    lines = [f"GET {path} HTTP/{version}", "Host: x", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status(answer: bytes) -> int:
    """The status of the first reply."""
    assert answer.startswith(b"HTTP/1."), answer
    return int(answer.split()[1])
