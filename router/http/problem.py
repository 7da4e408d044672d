"""Errors as problem+json (RFC 9457), and the texts of a server's own refusals."""

from http import HTTPStatus
from typing import Any

import orjson

from router.domain.reply import Reply
from router.http.limits import HEADER_BYTES, HEADER_COUNT, RETRY_AFTER_SECONDS

PROBLEM_TYPE = "application/problem+json"
_DETAILS = {
    400: "the request is not valid HTTP; send HTTP/1.1 with one Host header, and a Content-Length or chunked",
    404: "no source has this spelling of a path; write it without //, dot segments or needless percent-encoding",
    408: "the request took too long to arrive; send it again",
    413: "the body is larger than this path takes",
    431: f"the headers are more than {HEADER_COUNT}, or larger than {HEADER_BYTES} bytes",
    500: "the request failed by a fault of the router's; send it again",
    503: "there is no room for the request at the moment; send it again later",
}


def problem(status: int, detail: str, *headers: tuple[str, str], **members: Any) -> Reply:
    """An error by RFC 9457, with further members. The detail says what to do, and nothing about this machine."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return Reply(status, orjson.dumps(content), PROBLEM_TYPE, headers)


def refusal(status: int) -> Reply:
    """A server's own reply to a request that it refuses."""
    waits = (("Retry-After", str(RETRY_AFTER_SECONDS)),) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()
    return problem(status, _DETAILS[status], *waits)
