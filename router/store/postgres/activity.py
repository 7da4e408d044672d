"""Queries for recent events and deliveries."""

from collections.abc import Callable, Sequence
from typing import Any

from router.domain.activity import Bucket, RecentMatches
from router.store.activity import (
    MOST_DEAD,
    NEWEST_DELIVERIES,
    NEWEST_EVENTS,
    Span,
    buckets_of,
    count_spans,
    matches_of,
    spans_of,
)
from router.store.places import first_id
from router.store.postgres.arrays import restored, stored

Read = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]

_FIRST = """
SELECT (SELECT seq FROM webhook_router.{0} WHERE id >= asked.id ORDER BY id LIMIT 1)
FROM unnest(%s::text[]) WITH ORDINALITY AS asked (id, number) ORDER BY number
"""
_NEWEST = "SELECT coalesce(max(seq), 0) FROM webhook_router.{0}"
_COUNT = """
SELECT (SELECT count(*) FROM webhook_router.{0} WHERE id >= asked.first AND id < asked.after)
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS asked (first, after, number) ORDER BY number
"""
_DEAD = f"""
SELECT (
    SELECT count(*) FROM (
        SELECT 1 FROM webhook_router.delivery
        WHERE state = 'dead' AND seq >= asked.first AND seq < asked.after LIMIT {MOST_DEAD}
    ) AS dead
)
FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS asked (first, after, number) ORDER BY number
"""  # noqa: S608 - constants
_FLOOR = f"SELECT coalesce(max(seq), 0) - {NEWEST_EVENTS} FROM webhook_router.event"  # noqa: S608 - constants
_FIRST_EVENT = "SELECT id FROM webhook_router.event WHERE seq > %s ORDER BY seq LIMIT 1"
_MATCHES = f"""
SELECT m.rule, m.events, e.id FROM (
    SELECT rule, count(DISTINCT event) AS events, max(event) AS last FROM (
        SELECT rule, event FROM webhook_router.delivery WHERE event > %s ORDER BY event DESC LIMIT {NEWEST_DELIVERIES}
    ) AS newest GROUP BY rule
) AS m JOIN webhook_router.event e ON e.seq = m.last
UNION ALL
SELECT m.rule, m.events, e.id FROM (
    SELECT rule, count(*) AS events, max(event) AS last FROM webhook_router.matched_alone
    WHERE rule = ANY(%s) AND event > %s GROUP BY rule
) AS m JOIN webhook_router.event e ON e.seq = m.last
"""  # noqa: S608 - constants


def activity(read: Read, bounds: Sequence[int]) -> list[Bucket]:
    """See StoreReader.activity."""
    ids = [first_id(at) for at in bounds]
    events, deliveries = (_counted(read, table, ids) for table in ("event", "delivery"))
    firsts, afters = [begin for begin, _ in deliveries[2]], [end for _, end in deliveries[2]]
    dead = [int(row[0]) for row in read(_DEAD, (firsts, afters))]
    return buckets_of(bounds, events, deliveries, dead)


def _counted(read: Read, table: str, ids: Sequence[str]) -> tuple[list[int], list[bool], list[tuple[int, int]]]:
    seqs = [row[0] for row in read(_FIRST.format(table), (list(ids),))]
    newest = int(read(_NEWEST.format(table), ())[0][0])

    def exactly(spans: Sequence[Span]) -> list[int]:
        values = ([first for first, _ in spans], [after for _, after in spans])
        return [int(row[0]) for row in read(_COUNT.format(table), values)]

    return count_spans(seqs, newest, spans_of(ids), exactly)


def recent_matches(read: Read, rules: Sequence[str]) -> RecentMatches:
    """See StoreReader.recent_matches."""
    [(floor,)] = read(_FLOOR, ())
    first = read(_FIRST_EVENT, (floor,))
    rows = read(_MATCHES, (floor, [stored(rule) for rule in rules], floor)) if first else []
    return matches_of(first[0][0] if first else None, ((restored(rule), n, last) for rule, n, last in rows))
