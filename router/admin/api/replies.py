"""Replies of the admin listener: JSON, and problem+json for errors."""

from typing import Any

from router.domain.reply import Reply
from router.http.json_reply import json_reply as reply_with
from router.http.problem import PROBLEM_TYPE, problem
from router.operate.ids import SHORTEST, NoSuchId

__all__ = ["PROBLEM_TYPE", "body_problem", "json_reply", "problem_reply"]

problem_reply = problem


def json_reply(content: dict[str, Any], status: int = 200) -> Reply:
    """A reply with a JSON object."""
    return reply_with(status, content)


def no_such(kind: str, error: NoSuchId) -> Reply:
    """The reply when nothing has this id. It doesn't repeat a text that can't be the beginning of an id."""
    missing = f"the store has no {kind} with this id; a beginning needs {SHORTEST} characters or more"
    return problem_reply(404, missing if error.only_missing else str(error))


def body_problem(name: str, message: str) -> Reply:
    """A 400 that names a key of the request's body."""
    return problem_reply(400, f"{name}: {message}", parameter=name)
