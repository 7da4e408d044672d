"""How two JSON values compare: by type first, never by coercion."""

import re
from collections.abc import Callable
from typing import Any

_DECIMAL = re.compile(r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][-+]?[0-9]{1,3})?")


def is_number(value: Any) -> bool:
    """Whether a value is a number; booleans are not."""
    return type(value) is int or type(value) is float


def same(left: Any, right: Any, count: Callable[[int], None] | None = None) -> bool:
    """Deep equality of JSON values: 1 equals 1.0, but neither "1" nor true. `count` is called with the number of
    values."""
    pairs = [(left, right)]
    while pairs:
        a, b = pairs.pop()
        if isinstance(a, list):
            if not isinstance(b, list) or len(a) != len(b):
                return False
            if count is not None:
                count(len(a))
            pairs += zip(a, b, strict=True)
        elif isinstance(a, dict):
            if not isinstance(b, dict) or a.keys() != b.keys():
                return False
            if count is not None:
                count(len(a))
            pairs += ((value, b[key]) for key, value in a.items())
        elif isinstance(b, list | dict) or isinstance(a, bool) != isinstance(b, bool) or a != b:
            return False
    return True


def scalar_key(value: Any) -> tuple[bool, Any]:
    """A scalar as a key of a set or dict in which true and 1 stay apart."""
    return (isinstance(value, bool), value)


def decimal(text: str) -> int | float | None:
    """The number that a text from a header, query or form writes in decimal digits; None for other texts."""
    if not _DECIMAL.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if abs(number) != float("inf") else None
