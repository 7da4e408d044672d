"""When a source is polled again."""

import random

#: share of `every` by which a poll comes earlier or later, so that many sources are not polled at the same moment
JITTER = 0.1
FIRST_SECONDS = 60.0  #: pause after the first failure, unless `every` is shorter
LONGEST_SECONDS = 15 * 60.0  #: longest pause after many failures, unless `every` is longer
RETRY_AFTER_SECONDS = 3600.0  #: a longer Retry-After is cut to this, or to `every`


def wait_seconds(every: float) -> float:
    """How long to wait after a successful poll."""
    return every * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, protects nothing


def backoff_seconds(every: float, failures: int, retry_after: float | None) -> float:
    """How long to wait after this many failures in a row. The service may ask for more."""
    first, longest = min(every, FIRST_SECONDS), max(every, LONGEST_SECONDS)
    wait = min(longest, first * 2.0 ** min(failures - 1, 30))
    wait *= random.uniform(1 - 2 * JITTER, 1)  # noqa: S311 - spreads load, protects nothing
    return wait if retry_after is None else max(wait, min(retry_after, max(every, RETRY_AFTER_SECONDS)))
