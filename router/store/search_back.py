"""Lists of the newest rows, found in a bounded time: else a filter that few rows fit would look at a whole store."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

SECONDS = 0.03  #: that one page may look; then it says how far it came
EMPTY_SECONDS = 0.05  #: the same while nothing was found: a page without rows helps nobody
FIRST_ROWS = 4_000  #: seqs that are looked at first; each further step looks at twice as many while that is quick
MOST_ROWS = 32_000  #: of one step: where every row costs a look, it takes some 20 ms

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FoundBack(Generic[_T]):
    """What was found, the newest first."""

    rows: Sequence[_T]
    searched_to: int | None = None  #: the seq below which nobody has looked yet; None: all is told, or the page is full


def search_back(
    rows_between: Callable[[int, int, int], Sequence[_T]],
    limit: int,
    after: int,
    newest: int,
    oldest: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> FoundBack[_T]:
    """Up to `limit` rows with a seq below `after` (0: the newest), in steps until SECONDS are over.

    `rows_between(limit, below, above)` gives the newest rows between two seqs; `newest` and `oldest` are the highest
    and the lowest seq of rows that may fit.
    """
    at, least, width = min(after or newest + 1, newest + 1), oldest, FIRST_ROWS
    found: list[_T] = []
    begun = clock()
    while at > least and len(found) < limit:
        step, above = clock(), max(least - 1, at - 1 - width)
        found += rows_between(limit - len(found), at, above)
        at = above + 1
        now = clock()
        if now - begun > (SECONDS if found else EMPTY_SECONDS):
            break
        if now - step < SECONDS / 8:
            width = min(2 * width, MOST_ROWS)
    return FoundBack(found, at if at > least and len(found) < limit else None)
