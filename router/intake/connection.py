"""One connection, by waitress, corrected: headers as they came, refusals as problem+json, answers that come later."""

import contextlib
import socket
import sys
import time
from typing import Any

import waitress.channel
import waitress.parser
import waitress.task
import waitress.utilities

from router.intake.pending import Pending
from router.intake.reply import problem
from router.intake.resource import DEFER_KEY, HEADERS_KEY
from router.model import Reply

MAX_HEADERS = 100  #: of one request; real senders need 30
HEADER_BYTES = 64 * 1024  #: of one request; real senders need a tenth

_TOO_MANY = "too many headers"
_ERRORS = {
    400: "the request is not valid HTTP",
    413: "the body is larger than any source takes",
    431: f"the headers are more than {MAX_HEADERS}, or larger than {HEADER_BYTES} bytes",
    500: "the request failed by a fault of the router's; send it again",
    501: "of transfer encodings only chunked is taken",
}


_SAME_FOR_ALL = {
    "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost",
    "SERVER_SOFTWARE": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}


class Deferred(BaseException):
    """The answer comes later. No error: it only has to get past waitress's own handling of those."""


def _lines(header_plus: bytes) -> list[str]:
    """The header's lines without the first, of a header that waitress found right."""
    if b"\r\n " in header_plus or b"\r\n\t" in header_plus:  # a line that is continued on the next, as of old
        first = header_plus.find(b"\r\n") + 2
        return [line.decode("latin-1") for line in waitress.parser.get_header_lines(header_plus[first:])]
    return [line for line in header_plus.decode("latin-1").split("\r\n")[1:] if line]


class Parser(waitress.parser.HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Keeps the headers as they arrived: waitress joins repeated ones with commas and loses their case."""

    error: Any = None

    def parse_header(self, header_plus: bytes) -> None:
        if header_plus.count(b"\n") > MAX_HEADERS + 2:
            raise waitress.parser.ParsingError(_TOO_MANY)
        super().parse_header(header_plus)
        # Names with underscores are dropped, as waitress does: proxies and applications confuse them with dashes.
        self.items_as_received = tuple(
            [
                (name, value.strip(" \t"))
                for name, _, value in [line.partition(":") for line in _lines(header_plus)]
                if "_" not in name
            ]
        )

    def received(self, data: bytes) -> int:
        consumed = int(super().received(data))
        if self.error is not None and self.error.body == _TOO_MANY:
            self.error = waitress.utilities.RequestHeaderFieldsTooLarge(_TOO_MANY)
        return consumed


class Task(waitress.task.WSGITask):  # type: ignore[misc]  # waitress has no types
    """Runs the application, which gets the headers as they arrived, and may leave its answer for later."""

    pending: Pending | None = None

    def get_environment(self) -> dict[str, Any]:
        if self.channel.server.defers:
            return self._short_environment()
        environ: dict[str, Any] = super().get_environment()
        environ[HEADERS_KEY] = self.request.items_as_received
        return environ

    def _short_environment(self) -> dict[str, Any]:
        """What WSGI demands (PEP 3333), without a variable for each header: the application reads them as they came."""
        request, channel = self.request, self.channel
        return {
            **_SAME_FOR_ALL,
            "REMOTE_ADDR": channel.addr[0],
            "REQUEST_METHOD": request.command.upper(),
            "SERVER_PORT": channel.server.shown_port,
            "SERVER_PROTOCOL": f"HTTP/{self.version}",
            "PATH_INFO": "/" + request.path.lstrip("/") if request.path.startswith("/") else request.path,
            "QUERY_STRING": request.query,
            "wsgi.url_scheme": request.url_scheme,
            "wsgi.input": request.get_body_stream(),
            HEADERS_KEY: request.items_as_received,
            DEFER_KEY: self._defer,
        }

    def _defer(self, pending: Pending) -> None:
        self.pending = pending

    def finish(self) -> None:
        if self.pending is not None:
            self.channel.server.answer_later(self.channel, self.pending)
            raise Deferred
        super().finish()


class ReplyTask(waitress.task.Task):  # type: ignore[misc]  # waitress has no types
    """Writes an answer that was left for later, in one piece."""

    def __init__(self, channel: "Channel", request: Parser, reply: Reply) -> None:
        super().__init__(channel, request)
        self._reply = reply

    def execute(self) -> None:
        reply = self._reply
        self.complete = True
        self.status = reply.status_line
        if reply.content_type is not None:
            self.response_headers.append(("Content-Type", reply.content_type))
        self.response_headers += reply.headers
        body = reply.body if self.has_body and self.request.command != "HEAD" else b""
        self.content_length = len(reply.body)
        head = self.build_response_header()
        self.wrote_header = True
        self.channel.write_soon(head + body)


class ErrorTask(waitress.task.ErrorTask):  # type: ignore[misc]  # waitress has no types
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


class Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]  # waitress has no types
    parser_class = Parser
    error_task_class = ErrorTask
    request_began: float | None = None  #: monotonic, of the request that is being received
    refused = False  #: an answer was given before the request was read to its end
    lingering_since: float | None = None  #: monotonic; what still comes is thrown away
    watched: int | None = None  #: the events that the loop waits for; none: it doesn't know this connection
    reply: Reply | None = None  #: to the first request, which was left for later

    def fileno(self) -> int:
        """The descriptor, while it is open."""
        return int(self._fileno)

    def task_class(self, channel: "Channel", request: Parser) -> waitress.task.Task:
        """Called as a class by waitress: what serves the first request."""
        reply, self.reply = self.reply, None
        return Task(channel, request) if reply is None else ReplyTask(channel, request, reply)

    def service(self) -> None:
        with contextlib.suppress(Deferred):
            super().service()

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

    def add_channel(self, map: dict[int, Any] | None = None) -> None:  # noqa: A002 - waitress's name
        super().add_channel(map)
        self.server.watch(self)

    def del_channel(self, map: dict[int, Any] | None = None) -> None:  # noqa: A002 - waitress's name
        self.server.forget(self)
        super().del_channel(map)

    def received(self, data: bytes) -> bool:
        taken = bool(super().received(data))
        if self.request is None:
            self.request_began = None
        elif self.request_began is None:
            self.request_began = time.monotonic()
        return taken
