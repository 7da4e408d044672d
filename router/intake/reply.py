"""What the intake answers, whatever server carries it."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    body: bytes
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def status_line(self) -> str:
        """For example `202 Accepted`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Status"


def accepted(status: int, content: dict[str, Any]) -> Reply:
    """A JSON answer."""
    return Reply(status, orjson.dumps(content))


def problem(status: int, detail: str, *headers: tuple[str, str]) -> Reply:
    """An error by RFC 9457; the detail says what to do, and nothing about this machine."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Reply(status, orjson.dumps(content), "application/problem+json", headers)
