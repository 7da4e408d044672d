"""Where a list goes on: opaque to whoever asks, and of one list only."""

import base64
import binascii
from typing import Any

import orjson

_LONGEST = 2048  #: characters; a target's name is the longest that stands in one
_MOST = 2**62  #: no place in the store comes so far


def written(kind: str, *parts: int | str) -> str:
    """A cursor of a kind of list."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, *parts])).decode().rstrip("=")


def read(text: str, kind: str, *shape: type) -> list[Any]:
    """Its parts, of these types. Raises ValueError when it is none of that kind."""
    parts: Any = None
    if len(text) <= _LONGEST and text.isascii():
        try:
            parts = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError):
            parts = None
    if isinstance(parts, list) and len(parts) == len(shape) + 1 and parts[0] == kind:
        found = parts[1:]
        if all(type(part) is wanted for part, wanted in zip(found, shape, strict=True)) and all(
            0 <= part <= _MOST for part in found if type(part) is int
        ):
            return found
    raise ValueError("it is no cursor of this list; give the `next` of an answer, or leave it out")
