"""A service for polls, whose answers a test sets."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


@dataclass
class Asked:
    """A request to the service."""

    method: str
    path: str
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


@dataclass
class Reply:
    """The answer to a request."""

    body: Any = b""  #: bytes, or a value for JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Callable[[Any], None] | None = None  #: a function that writes the answer to the connection itself


class Service:
    """Answers with the result of `answer`, by default with `body`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.body: Any = []
        self.answer: Callable[[Asked], Reply] = lambda _: Reply(self.body)
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                names = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, names, sent)
                service.asked.append(asked)
                reply = service.answer(asked)
                with suppress(OSError):
                    self._send(reply)

            do_POST = do_GET  # noqa: N815 - names of the library

            def _send(self, reply: Reply) -> None:
                if reply.raw is not None:
                    self.close_connection = True
                    reply.raw(self)
                    return
                body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Ignore connections that were cut."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
