"""The error of a path."""

from router.domain.errors import RouterError


class PathError(RouterError):
    """The path has a wrong syntax, or is refused; the message contains the cure."""
