"""What the admin listener answers: JSON, or problem+json, as the intake does."""

from typing import Any

from router.domain.reply import Reply
from router.http.json_reply import json_reply
from router.http.problem import PROBLEM_TYPE
from router.http.problem import problem as refused

__all__ = ["PROBLEM_TYPE", "answered", "refused"]


def answered(content: dict[str, Any], status: int = 200) -> Reply:
    """A JSON answer."""
    return json_reply(status, content)
