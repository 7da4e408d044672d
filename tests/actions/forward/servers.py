"""A TLS server that may ask for client certificates, and an HTTP proxy, on loopback."""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from router.http.certificate import TlsFiles


@dataclass
class Seen:
    """The requests that a server got."""

    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  #: names of the clients, from their certificates
    asked: list[str] = field(default_factory=list)  #: method and address of each request to a proxy
    credentials: list[str | None] = field(default_factory=list)
    status: int = 200
    location: str | None = None
    echo: bool = False  #: whether to answer with the request's headers


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Ignore errors, since tests close connections early."""


@contextlib.contextmanager
def tls_server(files: TlsFiles | None = None, client_ca: Path | None = None) -> Iterator[Seen]:
    """Run a server with TLS, or without TLS if there are no files."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.requests.append({**dict(self.headers.items()), ":path": self.path})
            if isinstance(self.connection, ssl.SSLSocket) and (shown := self.connection.getpeercert()):
                seen.names += [str(part[0][1]) for part in shown["subject"] if part[0][0] == "commonName"]
            body = (
                "\n".join(f"{name}: {value}" for name, value in self.headers.items()).encode() if seen.echo else b"ok"
            )
            self.send_response(seen.status)
            if seen.location is not None:
                self.send_header("Location", seen.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = _Quiet(("127.0.0.1", 0), Handler)
    if files is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.cert, files.key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _serving(server):
        seen.port = server.server_address[1]
        yield seen


@contextlib.contextmanager
def proxy_server(user: str | None = None) -> Iterator[Seen]:
    """Run a proxy for CONNECT and plain HTTP. With `user` (`name:password`) it requires that login."""
    seen = Seen()
    wanted = None if user is None else f"Basic {base64.b64encode(user.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _admit(self) -> bool:
            given = self.headers.get("Proxy-Authorization")
            seen.credentials.append(given)
            seen.asked.append(f"{self.command} {self.path}")
            seen.requests.append(dict(self.headers.items()))
            if wanted is None or given == wanted:
                return True
            self.send_response(407)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False

        def do_CONNECT(self) -> None:
            if not self._admit():
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), 10) as other:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(other, self.connection))
                back.start()
                _pump(self.connection, other)
                back.join(10)
            self.close_connection = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if not self._admit():
                return
            url = urlsplit(self.path)
            with socket.create_connection((url.hostname or "", url.port or 80), 10) as other:
                lines = [
                    f"POST {url.path} HTTP/1.1",
                    *(f"{k}: {v}" for k, v in self.headers.items() if k[:6] != "Proxy-"),
                ]
                other.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
                _pump(other, self.connection)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = _Quiet(("127.0.0.1", 0), Handler)
    with _serving(server):
        seen.port = server.server_address[1]
        yield seen


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
