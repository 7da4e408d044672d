"""The method for a log line. The sender may write any text there."""

from http import HTTPMethod

_KNOWN = frozenset(HTTPMethod)


def shown_method(method: str) -> str:
    """The method if HTTP defines it, else `other`."""
    return method if method in _KNOWN else "other"
