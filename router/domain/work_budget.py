"""Bounds the work of loading a rules file: suggestions for unknown words, contradictions of conditions, JSONPaths.

Suggestions and contradictions are advice. Their work grows with the square of the file's size, since they compare its
parts with one another. The budget is in steps, not in seconds, so that a file gets the same warnings on every machine.
Outside of a load there is no budget.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

SUGGESTIONS = 100  #: suggestions of one load; each takes some milliseconds, and nobody reads more
COMPARISONS = 20_000_000  #: steps for contradictions; 100,000 usual rules need a tenth; all steps take some 10 s
PATHS = 50_000  #: different JSONPaths that are more than names; each takes the library a millisecond; they are cached
_KINDS = {"suggestions": SUGGESTIONS, "comparisons": COMPARISONS, "paths": PATHS}

_LEFT: ContextVar[dict[str, int] | None] = ContextVar("work_budget", default=None)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Start a fresh budget for this thread."""
    token = _LEFT.set(dict(_KINDS))
    try:
        yield
    finally:
        _LEFT.reset(token)


def spend(kind: str, steps: int = 1) -> bool:
    """Take steps from the budget. False when too few are left; then the rest of the budget is gone too."""
    left = _LEFT.get()
    if left is None:
        return True
    left[kind] -= steps
    if left[kind] < 0:
        left[kind] = 0
        return steps == 0
    return True


def is_spent(kind: str) -> bool:
    """Whether the budget of this kind is spent."""
    left = _LEFT.get()
    return left is not None and left[kind] <= 0
