"""What is wrong with a path."""

from router.domain.errors import RouterError


class PathError(RouterError):
    """A path that is none, or none that we would run; the text holds the cure."""
