"""Cursors: where a list continues. Opaque to clients, and valid for one kind of list only."""

import base64
import binascii
from typing import Any

import orjson

_MAX_CHARS = 2048  #: a target's name is the longest part of a cursor
_MAX_NUMBER = 2**62  #: above any seq of the store


def encode(kind: str, *parts: int | str) -> str:
    """A cursor for this kind of list."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, *parts])).decode().rstrip("=")


def decode(text: str, kind: str, *types: type) -> list[Any]:
    """The cursor's parts, of these types. Raises ValueError if it is not a cursor of this kind."""
    parts: Any = None
    if len(text) <= _MAX_CHARS and text.isascii():
        try:
            parts = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError):
            parts = None
    if isinstance(parts, list) and len(parts) == len(types) + 1 and parts[0] == kind:
        found = parts[1:]
        if all(type(part) is wanted for part, wanted in zip(found, types, strict=True)) and all(
            0 <= part <= _MAX_NUMBER for part in found if type(part) is int
        ):
            return found
    raise ValueError("it is not a cursor of this list; give the `next` of an answer, or leave it out")
