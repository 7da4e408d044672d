"""Raw bytes to and from a listener, for tests of what no HTTP library would send."""

import json
import socket
from collections.abc import Callable
from typing import Any

from router.intake.resource import HEADERS_KEY
from router.intake.server import Server


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A WSGI application that answers with what arrived."""
    body = environ["wsgi.input"].read()
    answer = json.dumps({"length": len(body), "headers": environ[HEADERS_KEY], "path": environ["PATH_INFO"]}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]


def talk(server: Server, *parts: bytes, close: bool = True) -> bytes:
    """Send raw bytes and read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        for part in parts:
            connection.sendall(part)
        if close:
            connection.shutdown(socket.SHUT_WR)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = bytearray()
    while part := connection.recv(65536):
        received += part
    return bytes(received)
