"""What the intake answers, whatever server carries it."""

from typing import Any

import orjson

from router.domain.reply import Reply


def accepted(status: int, content: dict[str, Any]) -> Reply:
    """A JSON answer."""
    return Reply(status, orjson.dumps(content))
