"""A request's method in a log line: a sender may write there whatever it likes."""

from http import HTTPMethod

_KNOWN = frozenset(HTTPMethod)


def shown_method(method: str) -> str:
    """The method if it is one of HTTP's, else `other`."""
    return method if method in _KNOWN else "other"
