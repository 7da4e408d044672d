"""A Falcon application with one sink; every error is problem+json."""

from collections.abc import Callable
from typing import Any

import falcon
import structlog

from router.domain.reply import Reply
from router.http.methods import shown_method
from router.http.problem import problem, refusal

log = structlog.get_logger()


def sink_app(sink: Callable[..., None]) -> "falcon.App[Any, Any]":
    """An application that sends every path and method to the sink."""
    app: falcon.App[Any, Any] = falcon.App()
    app.add_sink(sink, prefix=r"/.*|\*")
    app.add_error_handler(Exception, _fault)
    app.add_error_handler(falcon.HTTPError, _http_error)
    return app


def write_reply(response: falcon.Response, reply: Reply) -> None:
    """Copy a reply into Falcon's response."""
    response.status = reply.status_line
    response.data = reply.body
    if reply.content_type is not None:
        response.content_type = reply.content_type
    for name, value in reply.headers:
        if name == "Set-Cookie":
            response.append_header(name, value)  # the only header that Falcon does not set
        else:
            response.set_header(name, value)


def _fault(request: falcon.Request, response: falcon.Response, error: Exception, _: Any) -> None:
    log.error("request failed by a fault of ours", method=shown_method(request.method), exc_info=error)
    write_reply(response, refusal(500))


def _http_error(_: falcon.Request, response: falcon.Response, error: falcon.HTTPError, __: Any) -> None:
    write_reply(response, problem(error.status_code, "the request is not possible here"))
