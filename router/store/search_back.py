"""Lists the newest matching rows in a bounded time. A filter that few rows match would otherwise read the whole
store."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

SECONDS = 0.03  #: limit of one page; then it says how far it came
EMPTY_SECONDS = 0.05  #: the same while nothing was found: a page without rows helps nobody
EMPTY_ROWS = 24_000  #: that are read in any case while nothing was found, however slow the machine is
FIRST_ROWS = 4_000  #: seqs of the first step; each further step reads twice as many while that is quick
MOST_ROWS = 32_000  #: of one step; if every row must be read, it takes some 20 ms

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FoundBack(Generic[_T]):
    """What was found, the newest first."""

    rows: Sequence[_T]
    #: the seq below which nothing was read; None: everything was read, or the page is full
    searched_to: int | None = None


def search_back(
    rows_between: Callable[[int, int, int], Sequence[_T]],
    limit: int,
    after: int,
    newest: int,
    oldest: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> FoundBack[_T]:
    """Up to `limit` rows with a seq below `after` (0: the newest), in steps until SECONDS are over.

    `rows_between(limit, below, above)` gives the newest rows between two seqs. `newest` and `oldest` are the
    highest and the lowest seq of rows that may match.
    """
    at, least, width = min(after or newest + 1, newest + 1), oldest, FIRST_ROWS
    first, found = at, list[_T]()
    begun = clock()
    while at > least and len(found) < limit:
        step, above = clock(), max(least - 1, at - 1 - width)
        found += rows_between(limit - len(found), at, above)
        at = above + 1
        now = clock()
        if now - begun > SECONDS and (found or (now - begun > EMPTY_SECONDS and first - at >= EMPTY_ROWS)):
            break
        if now - step < SECONDS / 8:
            width = min(2 * width, MOST_ROWS)
    return FoundBack(found, at if at > least and len(found) < limit else None)
