"""A reply whose body is JSON."""

from typing import Any

import orjson

from router.domain.reply import Reply


def json_reply(status: int, content: dict[str, Any]) -> Reply:
    """Serialize the content."""
    return Reply(status, orjson.dumps(content))
