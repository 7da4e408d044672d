"""The method that a log line shows: a sender may write any text there."""

from http import HTTPMethod

_KNOWN = frozenset(HTTPMethod)


def shown_method(method: str) -> str:
    """The method if it is one of HTTP's, else `other`."""
    return method if method in _KNOWN else "other"
