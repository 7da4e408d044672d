"""What the admin listener answers: JSON, or problem+json by RFC 9457."""

from http import HTTPStatus
from typing import Any

import orjson

from router.model import Reply

PROBLEM_TYPE = "application/problem+json"
JSON_TYPE = "application/json"


def answered(content: dict[str, Any], status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(status, orjson.dumps(content), JSON_TYPE)


def refused(status: int, detail: str, *headers: tuple[str, str], **members: Any) -> Reply:
    """A problem: the detail says what is wrong and what would be right, and repeats nothing that was sent as secret."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return Reply(status, orjson.dumps(content), PROBLEM_TYPE, headers)
