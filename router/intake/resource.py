"""The Falcon application of the intake: every path and method goes to the receiver.

Our own server asks it about large requests only, which workers judge; any other WSGI server may ask it about all.
"""

from collections.abc import Callable
from typing import Any

import falcon
import structlog

from router.intake.methods import shown_method
from router.intake.pending import Pending
from router.intake.receiver import ANSWER_SECONDS, Receiver
from router.intake.reply import problem
from router.model import Inbound, Reply

log = structlog.get_logger()

DEFER_KEY = "router.defer"  #: a server's function that takes a Pending; the answer given besides is then not sent
HEADERS_KEY = "router.headers"  #: where the server leaves the headers as they arrived: repeated, with their case


def intake_app(receiver: Receiver) -> "falcon.App[Any, Any]":
    """The WSGI application."""

    def receive(request: falcon.Request, response: falcon.Response, **_: Any) -> None:
        try:
            reply = receiver.begin(inbound(request, receiver.now_ms()))
        except Exception:
            receiver.answered(request.env["PATH_INFO"], 500)
            raise
        if isinstance(reply, Pending):
            defer = request.env.get(DEFER_KEY)
            if defer is not None:
                defer(reply)
                return
            reply = reply.reply(ANSWER_SECONDS)
        answer(response, reply)

    return sink_app(receive)


def sink_app(sink: Callable[..., None]) -> "falcon.App[Any, Any]":
    """A Falcon application of one sink, whose every error is problem+json."""
    app: falcon.App[Any, Any] = falcon.App()
    app.add_sink(sink, prefix=r"/.*|\*")
    app.add_error_handler(Exception, _fault)
    app.add_error_handler(falcon.HTTPError, _http_error)
    return app


def inbound(request: falcon.Request, now: int) -> Inbound:
    """The request as the intake sees it."""
    environ = request.env
    headers = environ.get(HEADERS_KEY)
    if headers is None:
        headers = tuple((name.title(), value) for name, value in request.headers.items())
    return Inbound(
        source="",
        method=request.method,
        path=environ["PATH_INFO"],
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=environ["wsgi.input"].read(),
        ip=environ.get("REMOTE_ADDR", ""),
        received_at=now,
    )


def answer(response: falcon.Response, reply: Reply) -> None:
    """Write a reply."""
    response.status = reply.status_line
    response.data = reply.body
    if reply.content_type is not None:
        response.content_type = reply.content_type
    for name, value in reply.headers:
        response.set_header(name, value)


def _fault(request: falcon.Request, response: falcon.Response, error: Exception, _: Any) -> None:
    log.error("request failed by a fault of ours", method=shown_method(request.method), exc_info=error)
    answer(response, problem(500, "the request failed by a fault of the router's; send it again"))


def _http_error(_: falcon.Request, response: falcon.Response, error: falcon.HTTPError, __: Any) -> None:
    answer(response, problem(error.status_code, "the request is not one that is taken here"))
