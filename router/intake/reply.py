"""What the intake answers, whatever server carries it."""

from http import HTTPStatus
from typing import Any

import orjson

from router.model import Reply


def accepted(status: int, content: dict[str, Any]) -> Reply:
    """A JSON answer."""
    return Reply(status, orjson.dumps(content))


def problem(status: int, detail: str, *headers: tuple[str, str]) -> Reply:
    """An error by RFC 9457; the detail says what to do, and nothing about this machine."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Reply(status, orjson.dumps(content), "application/problem+json", headers)
