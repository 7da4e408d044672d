"""How much work of some kinds a load may spend: near words for unknown ones, conditions that exclude each other, paths.

The first two are advice, and compare things with one another, so that their work grows with the square of a file. What
is spent is counted in steps, not in seconds, so that a file gets the same warnings on every machine. Outside of a load
nothing is counted.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

SUGGESTIONS = 100  #: near words that a load looks for; each takes some milliseconds, and nobody reads more
COMPARISONS = 20_000_000  #: steps for contradictions; 100,000 usual rules need a tenth, and all take some 10 s
PATHS = 50_000  #: different JSONPaths that are more than names; each takes the library a millisecond, as they are kept
_KINDS = {"suggestions": SUGGESTIONS, "comparisons": COMPARISONS, "paths": PATHS}

_LEFT: ContextVar[dict[str, int] | None] = ContextVar("effort", default=None)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Within it, this thread's advice has its bounds."""
    token = _LEFT.set(dict(_KINDS))
    try:
        yield
    finally:
        _LEFT.reset(token)


def spend(kind: str, steps: int = 1) -> bool:
    """Take steps from what is left; False when they are not there, and then none are left any more."""
    left = _LEFT.get()
    if left is None:
        return True
    left[kind] -= steps
    if left[kind] < 0:
        left[kind] = 0
        return steps == 0
    return True


def is_spent(kind: str) -> bool:
    """Whether nothing is left."""
    left = _LEFT.get()
    return left is not None and left[kind] <= 0
