"""Depths of targets, from counts by state."""

from collections.abc import Iterable
from typing import Any

from router.domain.summaries import Depth


def depths_of(rows: Iterable[tuple[Any, ...]]) -> list[Depth]:
    """The depths, from rows of a target, a word for what its deliveries wait for, their number, and when the oldest was
    planned."""
    counts: dict[str, dict[str, int]] = {}
    oldest: dict[str, int] = {}
    for target, state, count, oldest_at in rows:
        counts.setdefault(target, {})[state] = count
        if oldest_at is not None:
            oldest[target] = min(oldest_at, oldest.get(target, oldest_at))
    return [
        Depth(
            target,
            due=found.get("due", 0),
            blocked=found.get("blocked", 0),
            held=found.get("held", 0),
            running=found.get("running", 0),
            dead=found.get("dead", 0),
            oldest_at=oldest.get(target),
        )
        for target, found in sorted(counts.items())
    ]
