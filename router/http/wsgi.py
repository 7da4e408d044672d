"""The handler as a plain WSGI application (PEP 3333) for any WSGI server.

Such a server frames requests by its own rules, holds a thread for each request that waits for its commit, joins
repeated headers, and loses the case of header names. Path, body limit and Host are checked here as in our own server.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from router.domain.reply import Reply
from router.http.contract import Answered, BodyLimit, Handler, Pending, Request
from router.http.limits import ANSWER_SECONDS
from router.http.methods import shown_method
from router.http.problem import refusal
from router.http.refusals import Refusals
from router.http.target import is_authority, read_target

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WsgiApp:
    """The application. Any number of threads may call it."""

    handler: Handler
    body_limit: BodyLimit
    answered: Answered = lambda *_: None
    refusals: Refusals = field(default_factory=Refusals)
    answer_seconds: float = ANSWER_SECONDS  #: how long a pending reply may take

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """See PEP 3333."""
        reply = self._reply(environ)
        headers = [("Content-Length", str(len(reply.body))), *reply.headers]
        if reply.content_type is not None:
            headers.append(("Content-Type", reply.content_type))
        if reply.status in (204, 304):
            del headers[0]
        start_response(reply.status_line, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" or reply.status in (204, 304) else reply.body]

    def _reply(self, environ: Environ) -> Reply:
        target = read_target(environ["REQUEST_METHOD"], _raw_target(environ))
        path = "" if target.problem else target.path
        if target.problem:
            return self._refuse(
                environ, path, target.problem, "target" if target.problem == 400 else "form of the path"
            )
        if environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/2.0"):
            return self._refuse(environ, path, 400, "HTTP version")
        host = environ.get("HTTP_HOST")
        if (host is None and environ.get("SERVER_PROTOCOL") != "HTTP/1.0") or not is_authority(host or ""):
            return self._refuse(environ, path, 400, "Host")
        body = _body(environ, self.body_limit(path))
        if body is None:
            return self._refuse(environ, path, 413, "size")
        ip = environ.get("REMOTE_ADDR", "")
        return self._handle(Request(environ["REQUEST_METHOD"], path, target.query, _headers(environ), body, ip))

    def _refuse(self, environ: Environ, path: str, status: int, reason: str) -> Reply:
        method = shown_method(environ["REQUEST_METHOD"])
        self.refusals.tell(None, status, reason, environ.get("REMOTE_ADDR", ""), method)
        self.answered(path, status)
        return refusal(status)

    def _handle(self, request: Request) -> Reply:
        try:
            given = self.handler(request)
            return given.reply(self.answer_seconds) if isinstance(given, Pending) else given
        except Exception as error:  # the sender must get an answer
            log.error("request failed by a fault of ours", method=shown_method(request.method), exc_info=error)
            self.answered(request.path, 500)
            return refusal(500)


def _raw_target(environ: Environ) -> str:
    """The target as in the request line if the server passes it on; otherwise rebuilt from the path."""
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if raw:
        return str(raw)
    path = quote(environ.get("PATH_INFO", "").encode("latin-1"), "-._~!$&'()*+,;=:@/")
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _body(environ: Environ, largest: int) -> bytes | None:
    """The body; None if it is larger than the limit."""
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdigit():
        if int(length) > largest:
            return None
        return bytes(environ["wsgi.input"].read(int(length)))
    if not environ.get("wsgi.input_terminated"):
        return b""
    body = bytes(environ["wsgi.input"].read(largest + 1))
    return None if len(body) > largest else body


def _headers(environ: Environ) -> tuple[tuple[str, str], ...]:
    found = [
        (name[5:].replace("_", "-").title(), str(value)) for name, value in environ.items() if name.startswith("HTTP_")
    ]
    more = (("Content-Type", environ.get("CONTENT_TYPE")), ("Content-Length", environ.get("CONTENT_LENGTH")))
    found += [(name, value) for name, value in more if value]
    return tuple(found)
