"""Queries for recent events and deliveries."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

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

Read = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]

_FIRST = "SELECT (SELECT seq FROM {0} WHERE id >= value ORDER BY id LIMIT 1) FROM json_each(?) ORDER BY key"
_NEWEST = "SELECT coalesce(max(seq), 0) FROM {0}"
_COUNT = """
SELECT (
    SELECT count(*) FROM {0} WHERE id >= json_extract(s.value, '$[0]') AND id < json_extract(s.value, '$[1]')
) FROM json_each(?) s ORDER BY s.key
"""
_DEAD = f"""
SELECT (
    SELECT count(*) FROM (
        SELECT 1 FROM delivery INDEXED BY delivery_dead
        WHERE state = 'dead' AND seq >= json_extract(s.value, '$[0]') AND seq < json_extract(s.value, '$[1]')
        LIMIT {MOST_DEAD}
    )
) FROM json_each(?) s ORDER BY s.key
"""  # noqa: S608 - constants
_FLOOR = f"SELECT coalesce(max(seq), 0) - {NEWEST_EVENTS} FROM event"  # noqa: S608 - constants
_FIRST_EVENT = "SELECT id FROM event WHERE seq > ? ORDER BY seq LIMIT 1"
_MATCHES = f"""
SELECT m.rule, m.events, (SELECT id FROM event WHERE seq = m.last) FROM (
    SELECT rule, count(DISTINCT event) AS events, max(event) AS last FROM (
        SELECT rule, event FROM delivery WHERE event > ?1 ORDER BY event DESC LIMIT {NEWEST_DELIVERIES}
    ) GROUP BY rule
) m
UNION ALL
SELECT m.rule, m.events, (SELECT id FROM event WHERE seq = m.last) FROM (
    SELECT rule, count(*) AS events, max(event) AS last FROM matched_alone
    WHERE rule IN (SELECT value FROM json_each(?2)) AND event > ?1 GROUP BY rule
) m
"""  # noqa: S608 - constants


def activity(read: Read, bounds: Sequence[int]) -> list[Bucket]:
    """See StoreReader.activity."""
    ids = [first_id(at) for at in bounds]
    events, deliveries = (_counted(read, table, ids) for table in ("event", "delivery"))
    dead = [row[0] for row in read(_DEAD, (orjson.dumps(deliveries[2]).decode(),))]
    return buckets_of(bounds, events, deliveries, dead)


def _counted(read: Read, table: str, ids: Sequence[str]) -> tuple[list[int], list[bool], list[tuple[int, int]]]:
    seqs = [row[0] for row in read(_FIRST.format(table), (orjson.dumps(ids).decode(),))]
    newest = int(read(_NEWEST.format(table), ())[0][0])

    def exactly(spans: Sequence[Span]) -> list[int]:
        return [int(row[0]) for row in read(_COUNT.format(table), (orjson.dumps(spans).decode(),))]

    return count_spans(seqs, newest, spans_of(ids), exactly)


def recent_matches(read: Read, rules: Sequence[str]) -> RecentMatches:
    """See StoreReader.recent_matches."""
    [(floor,)] = read(_FLOOR, ())
    first = read(_FIRST_EVENT, (floor,))
    rows = read(_MATCHES, (floor, orjson.dumps(rules).decode())) if first else []
    return matches_of(first[0][0] if first else None, ((rule, n, last) for rule, n, last in rows if last is not None))
