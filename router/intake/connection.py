"""One connection, by waitress, corrected: refusals as problem+json, requests judged in place, late answers."""

import contextlib
import functools
import socket
import sys
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import structlog
import waitress.channel
import waitress.task

from router.intake.methods import shown_method
from router.intake.parser import HEADER_BYTES, MAX_HEADERS, Parser, Refusal
from router.intake.pending import Pending
from router.intake.receiver import RETRY_AFTER_SECONDS
from router.intake.reply import problem
from router.intake.resource import DEFER_KEY, HEADERS_KEY
from router.model import Reply

log = structlog.get_logger()

_ERRORS = {
    400: "the request is not valid HTTP; send HTTP/1.1, with a Content-Length or chunked",
    408: "the request took too long to arrive; send it again",
    413: "the body is larger than this path takes",
    431: f"the headers are more than {MAX_HEADERS}, or larger than {HEADER_BYTES} bytes",
    500: "the request failed by a fault of the router's; send it again",
    503: "there is no room for the body just now; send it again",
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


class Task(waitress.task.WSGITask):  # type: ignore[misc]  # waitress has no types
    """Runs the application, which gets the headers as they arrived, and may leave its answer for later."""

    pending: Pending | None = None

    def get_environment(self) -> dict[str, Any]:
        if self.channel.server.judge is not None:
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
            "PATH_INFO": request.path_info,
            "QUERY_STRING": request.query,
            "wsgi.url_scheme": request.url_scheme,
            "wsgi.input": request.get_body_stream(),
            HEADERS_KEY: request.items_as_received,
            DEFER_KEY: self._defer,
        }

    def _defer(self, pending: Pending) -> None:
        self.pending = pending

    def build_response_header(self) -> bytes:
        _close_at_a_stop(self)
        return bytes(super().build_response_header())

    def finish(self) -> None:
        if self.pending is not None:
            self.channel.server.answer_later(self.channel, self.pending)
            raise Deferred
        super().finish()


class ReplyTask(waitress.task.Task):  # type: ignore[misc]  # waitress has no types
    """Writes an answer in one piece."""

    complete = True

    def __init__(self, channel: "Channel", request: Parser, reply: Reply) -> None:
        super().__init__(channel, request)
        self._reply = reply

    def finish(self) -> None:
        """Everything is written already."""

    def execute(self) -> None:
        reply = self._reply
        self.status = reply.status_line
        _close_at_a_stop(self)
        connection = self.request.headers.get("CONNECTION", "").lower()
        keeps = self.version == "1.0" and connection == "keep-alive" and self.has_body
        if connection == "close" or (self.version == "1.0" and not keeps):
            self.close_on_finish = True
        lines = [f"HTTP/{self.version} {self.status}", f"Date: {_date(int(self.start_time))}"]
        if reply.content_type is not None:
            lines.append(f"Content-Type: {reply.content_type}")
        if self.has_body:
            lines.append(f"Content-Length: {len(reply.body)}")
        if self.close_on_finish or keeps:
            lines.append("Connection: close" if self.close_on_finish else "Connection: Keep-Alive")
        lines += [f"{name}: {value}" for name, value in reply.headers]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        body = reply.body if self.has_body and self.request.command != "HEAD" else b""
        self.wrote_header = True
        self.channel.write_soon(head + body)


@functools.lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _close_at_a_stop(task: waitress.task.Task) -> None:
    """Tell a sender that its next request needs another connection, and so another daemon; the last answer does."""
    if task.channel.server.stopping and len(task.channel.requests) <= 1:
        task.set_close_on_finish()


class ErrorTask(waitress.task.ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers what is refused before the application sees it as problem+json, without repeating what was sent."""

    def execute(self) -> None:
        error = self.request.error
        # What waitress says of an error may repeat the sender's headers.
        reason = error.reason if isinstance(error, Refusal) else "HTTP"
        command, ip = self.request.command, self.channel.addr[0]
        method = shown_method(command) if command else None  # refused before it was known
        where = {"listener": self.channel.server.name} if self.channel.server.name else {}
        log.warning("request refused", source=None, status=error.code, reason=reason, ip=ip, method=method, **where)
        waits = (("Retry-After", str(RETRY_AFTER_SECONDS)),) if error.code == HTTPStatus.SERVICE_UNAVAILABLE else ()
        reply = problem(error.code, _ERRORS.get(error.code, "the request can't be taken"), *waits)
        self.channel.server.answered(self.request.path_info, reply.status)
        self.channel.refused = True
        self.status = reply.status_line
        self.response_headers += [("Content-Type", reply.content_type), *reply.headers]
        self.set_close_on_finish()
        self.content_length = len(reply.body)
        self.write(reply.body if command != "HEAD" else b"")


class Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection. What is not said to be otherwise belongs to the loop's thread."""

    error_task_class = ErrorTask
    request: Parser | None = None  #: that is being received
    request_began: float | None = None  #: monotonic, of the request that is being received
    refused = False  #: an answer was given before the request was read to its end
    lingering_since: float | None = None  #: monotonic; what still comes is thrown away
    watched: int | None = None  #: the events that the loop waits for; none: it doesn't know this connection
    held = False  #: its next request is served when the sender has taken the answers before it
    reply: Reply | None = None  #: to the first request, which was left for later

    def fileno(self) -> int:
        """The descriptor, while it is open."""
        return int(self._fileno)

    def parser_class(self, adj: Any) -> Parser:
        """Called as a class by waitress: what takes the next request in."""
        return Parser(adj, self.server.body_limit)

    def task_class(self, channel: "Channel", request: Parser) -> waitress.task.Task:
        """Called as a class by waitress: what serves the first request."""
        reply, self.reply = self.reply, None
        return Task(channel, request) if reply is None else ReplyTask(channel, request, reply)

    def service(self) -> None:
        """Serve the first request; in a worker's thread, if it is not small."""
        request = self.requests[0]
        if self.connected and self.reply is None and request.error is None and self.server.is_small(request):
            answer = self._judge(request)
            if isinstance(answer, Pending):
                self.server.answer_later(self, answer)
                return
            self.reply = answer
        with contextlib.suppress(Deferred):
            super().service()

    def _judge(self, request: Parser) -> Reply | Pending:
        """Judge a small request right here: no worker, no environment, no framework between."""
        try:
            judged: Reply | Pending = self.server.judge(
                request.command, request.path_info, request.query, request.items_as_received, request.body, self.addr[0]
            )
        except Exception as error:  # the sender has to hear something, and the others must not suffer
            log.error("request failed by a fault of ours", method=shown_method(request.command), exc_info=error)
            self.server.answered(request.path_info, 500)
            return problem(500, _ERRORS[500])
        return judged

    def time_out(self) -> None:
        """Refuse the request that has been arriving for too long."""
        request, self.request, self.request_began = self.request, None, None
        if request is not None:
            request.refuse(408, "time")
            self.requests.append(request)
            self.server.add_task(self)

    def writable(self) -> bool:
        # While a worker writes an answer it holds the output's lock and waits for the GIL; waitress then says
        # "writable" some 30,000 times a second, tries the lock, fails, and keeps the GIL from the worker. The worker
        # flushes by itself and wakes the loop when it is done, so until then there is nothing to write.
        if self.lingering_since is not None:
            return False
        if self.requests and not (self.will_close or self.close_when_flushed or self.held):
            return False
        return bool(super().writable())

    def readable(self) -> bool:
        return self.lingering_since is not None or bool(super().readable())

    def handle_read(self) -> None:
        if self.lingering_since is None:
            super().handle_read()
            return
        try:
            self.recv(self.adj.recv_bytes)  # which closes at the end
        except OSError:
            self.handle_close()

    def handle_close(self) -> None:
        # Closing while the sender still sends makes its kernel throw away the refusal that it has not read yet.
        if self.refused and self.lingering_since is None and self.connected:
            self.lingering_since = time.monotonic()
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()

    def handle_error(self) -> None:
        """Called by waitress while an exception is handled."""
        error = sys.exc_info()[1]
        log.error("connection failed by a fault of ours", exc_info=error)
        self.abandon()

    def abandon(self) -> None:
        """Close at once, whatever is under way."""
        self.refused = False
        self.handle_close()

    def add_channel(self, map: dict[int, Any] | None = None) -> None:  # noqa: A002 - waitress's name
        super().add_channel(map)
        self.server.watch(self)

    def del_channel(self, map: dict[int, Any] | None = None) -> None:  # noqa: A002 - waitress's name
        self.server.forget(self)
        super().del_channel(map)

    def received(self, data: bytes) -> bool:
        before = self.request
        taken = bool(super().received(data))
        if self.request is None:
            self.request_began = None
        elif self.request is not before:
            self.request_began = time.monotonic()
        return taken
