"""Counts rows by time without reading them all.

Ids begin with a time, and seqs count up, so two look-ups give the number of rows in a span. Small spans are counted
exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from router.domain.activity import Bucket, RecentMatches, RuleMatches, time_of_id

EXACT = 500  #: rows of a span that are counted one by one; larger numbers come from seqs, some of which may be unused
MOST_DEAD = 500  #: dead deliveries of a span that are counted
NEWEST_EVENTS = 10_000  #: events for which the matches of rules are counted
NEWEST_DELIVERIES = 20_000  #: deliveries of these events that are read

Span = tuple[str, str]
"""The smallest id of a span, and the smallest id after it."""

NO_END = "g"  #: sorts after every id


def spans_of(ids: Sequence[str]) -> list[Span]:
    """The spans between these ids. The last span has no end, because an id may lie ahead of the clock."""
    return list(zip(ids, [*ids[1:], NO_END], strict=True))


def count_spans(
    seqs: Sequence[int | None], newest: int, spans: Sequence[Span], exactly: Callable[[Sequence[Span]], Sequence[int]]
) -> tuple[list[int], list[bool], list[tuple[int, int]]]:
    """The number of rows of each span, whether it is exact, and its first and last seq.

    `seqs`: of the first row at or after the beginning of each span; None: there is none. `newest`: the highest seq.
    """
    places: list[int] = []
    for seq in [*seqs, None]:
        place = newest + 1 if seq is None else seq
        places.append(max(place, places[-1]) if places else place)
    ranges = list(pairwise(places))
    counts = [end - begin for begin, end in ranges]
    small = [number for number, count in enumerate(counts) if 0 < count <= EXACT]
    for number, count in zip(small, exactly([spans[number] for number in small]) if small else (), strict=True):
        counts[number] = count
    return counts, [count <= EXACT for count in counts], ranges


def buckets_of(
    bounds: Sequence[int],
    events: tuple[list[int], list[bool], list[tuple[int, int]]],
    deliveries: tuple[list[int], list[bool], list[tuple[int, int]]],
    dead: Sequence[int],
) -> list[Bucket]:
    """The buckets of these counts."""
    return [
        Bucket(
            begins_at,
            events[0][i],
            deliveries[0][i],
            dead[i],
            events[1][i] and deliveries[1][i] and dead[i] < MOST_DEAD,
        )
        for i, begins_at in enumerate(bounds)
    ]


def matches_of(first: str | None, rows: Iterable[tuple[str, int, str]]) -> RecentMatches:
    """The matches of rows of (rule, events, id of the last). `first`: the id of the first event that was read."""
    if first is None:
        return RecentMatches(None)
    found: dict[str, RuleMatches] = {}
    for rule, events, last in rows:
        before = found.get(rule, RuleMatches(0, ""))
        found[rule] = RuleMatches(before.events + events, max(before.last_event, last))
    return RecentMatches(time_of_id(first), found)
