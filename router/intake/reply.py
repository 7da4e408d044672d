"""What the intake answers, whatever server carries it."""

from http import HTTPStatus
from typing import Any

import orjson

from router.model import Reply

PROBLEM_TYPE = "application/problem+json"


def accepted(status: int, content: dict[str, Any]) -> Reply:
    """A JSON answer."""
    return Reply(status, orjson.dumps(content))


def problem(status: int, detail: str, *headers: tuple[str, str], **members: Any) -> Reply:
    """An error by RFC 9457, with further members; the detail says what to do, and nothing about this machine."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return Reply(status, orjson.dumps(content), PROBLEM_TYPE, headers)
