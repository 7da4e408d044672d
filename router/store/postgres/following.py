"""Queries for followers: events and ended attempts after a position. No position is used twice.

A number of a sequence may be committed after a higher number of another writer. So a place has the last number of each
writer, whose commits are in order. A follower never waits, whatever long transaction others hold open.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from router.domain.deliveries import Attempt, State
from router.domain.groups import SkipReason
from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival, EndedAttempt, EndedPage, Place, SkippedDelivery
from router.store.postgres.arrays import restored


def _writers(table: str) -> str:
    """A table expression `w` of all writers with rows in a table: one seek for each."""
    return f"""
    RECURSIVE w (writer) AS (
        SELECT min(writer) FROM webhook_router.{table}
        UNION ALL
        SELECT (SELECT min(writer) FROM webhook_router.{table} WHERE writer > w.writer)
        FROM w WHERE w.writer IS NOT NULL
    )
    """  # noqa: S608 - constants


def _last(table: str) -> str:
    return f"(SELECT max({_SEQ[table]}) FROM webhook_router.{table} WHERE writer = w.writer)"  # noqa: S608 - constants


_SEQ = {"event": "seq + 0", "settled": "seq"}  #: as the index on writers has it, see schema_1.sql


def _newest(table: str) -> str:
    """The place before the newest rows."""
    return f"""
    WITH {_writers(table)}, recent AS (
        SELECT writer, min(seq) AS first FROM (
            SELECT writer, seq FROM webhook_router.{table} ORDER BY seq DESC LIMIT %s
        ) AS newest GROUP BY writer
    )
    SELECT w.writer, coalesce((SELECT first - 1 FROM recent WHERE recent.writer = w.writer), {_last(table)})
    FROM w WHERE w.writer IS NOT NULL
    """  # noqa: S608 - constants


NEWEST_EVENTS = _newest("event")
NEWEST_ENDED = _newest("settled")

# An event's id begins with a time, never less than the event's: the index on ids leads to the first event.
EVENTS_BEFORE = f"""
WITH {_writers("event")}, since AS (
    SELECT writer, min(seq) AS first FROM webhook_router.event WHERE id >= %s AND received_at >= %s GROUP BY writer
)
SELECT w.writer, coalesce((SELECT first - 1 FROM since WHERE since.writer = w.writer), {_last("event")})
FROM w WHERE w.writer IS NOT NULL
"""  # noqa: S608 - constants

# A delivery was skipped when its last attempt ended, or when the delivery that replaces it came.
_SKIPPED_AT = """
CASE WHEN d.seq IS NOT NULL THEN greatest(
    d.created_at,
    (SELECT n.created_at FROM webhook_router.delivery n WHERE n.id = d.skipped_for AND d.skip_reason = 'newer'),
    (SELECT max(done.finished_at) FROM webhook_router.attempt done WHERE done.delivery = d.seq)
) END
"""

# Reads every remembered end of an attempt, since an index by time would slow down every attempt.
ENDED_BEFORE = f"""
WITH {_writers("settled")}, since AS (
    SELECT s.writer, min(s.seq) AS first FROM webhook_router.settled s
    LEFT JOIN webhook_router.attempt a ON a.delivery = s.delivery AND a.number = s.number
    LEFT JOIN webhook_router.delivery d ON d.seq = s.delivery AND s.number = 0 AND d.state = 'skipped'
    WHERE coalesce(a.finished_at, {_SKIPPED_AT}) >= %s GROUP BY s.writer
)
SELECT w.writer, coalesce((SELECT first - 1 FROM since WHERE since.writer = w.writer), {_last("settled")})
FROM w WHERE w.writer IS NOT NULL
"""  # noqa: S608 - constants

# What follows the place of each writer, merged by number. This keeps each writer's order.
ARRIVALS = f"""
WITH {_writers("event")}
SELECT e.writer, e.seq, e.id, e.source, e.method, e.path, e.received_at, octet_length(e.body), (
    SELECT json_agg(json_build_array(rule, action, target) ORDER BY seq)::text
    FROM webhook_router.delivery WHERE event = e.seq
)
FROM w LEFT JOIN unnest(%s::bigint[], %s::bigint[]) AS place (writer, seq) ON place.writer = w.writer
CROSS JOIN LATERAL (
    SELECT * FROM webhook_router.event
    WHERE writer = w.writer AND seq + 0 > coalesce(place.seq, 0) ORDER BY seq + 0 LIMIT %s
) AS e
ORDER BY e.seq LIMIT %s
"""  # noqa: S608 - constants

# Pruned attempts, and skipped deliveries that were replayed, give rows of NULLs, so that the position goes past them.
ENDED = f"""
WITH {_writers("settled")}
SELECT s.writer, s.seq, e.writer, e.seq, e.id, e.source, d.id, d.rule, d.action, d.type, d.target, d.state,
    NOT EXISTS (SELECT 1 FROM webhook_router.attempt n WHERE n.delivery = a.delivery AND n.number > a.number),
    s.number, a.started_at, a.finished_at, a.outcome, a.status, a.error,
    CASE WHEN s.number = 0 THEN {_SKIPPED_AT} END, d.skip_reason, d.skipped_for
FROM (
    SELECT s.* FROM w LEFT JOIN unnest(%s::bigint[], %s::bigint[]) AS place (writer, seq) ON place.writer = w.writer
    CROSS JOIN LATERAL (
        SELECT * FROM webhook_router.settled
        WHERE writer = w.writer AND seq > coalesce(place.seq, 0) ORDER BY seq LIMIT %s
    ) AS s
    ORDER BY s.seq LIMIT %s
) AS s
LEFT JOIN webhook_router.attempt a ON a.delivery = s.delivery AND a.number = s.number
LEFT JOIN webhook_router.delivery d ON d.seq = s.delivery
    AND (a.number IS NOT NULL OR s.number = 0 AND d.state = 'skipped')
LEFT JOIN webhook_router.event e ON e.seq = d.event
ORDER BY s.seq
"""  # noqa: S608 - constants


def place_of(rows: Iterable[tuple[Any, ...]]) -> Place:
    """From rows of writer and seq."""
    return dict(rows)


def place_values(place: Place, limit: int) -> tuple[Any, ...]:
    """The values of ARRIVALS and ENDED."""
    return list(place.keys()), list(place.values()), limit, limit


def arrival_row(row: tuple[Any, ...]) -> Arrival:
    """From a row of ARRIVALS."""
    writer, seq, id_, source, method, path, received_at, size, plan = row
    planned = tuple((rule, action, target) for rule, action, target in orjson.loads(plan or "[]"))
    return Arrival(writer, seq, id_, source, method, restored(path), received_at, size, planned)


def ended_page(rows: Sequence[tuple[Any, ...]], after: Place, limit: int) -> EndedPage:
    """From rows of ENDED."""
    ends = tuple(_ended_row(row) for row in rows if row[4] is not None)
    return EndedPage(ends, {**after, **{row[0]: row[1] for row in rows}}, len(rows) == limit)


def _ended_row(row: tuple[Any, ...]) -> EndedAttempt | SkippedDelivery:
    writer, seq, event_writer, event, event_id, source, delivery, *names, state, last = row[:13]
    number, started_at, finished_at, outcome, status, error, at, reason, skipped_for = row[13:]
    rule, action, type_, target = names
    ids = (event_id, source, delivery, rule, action, type_, target)
    if number == 0:
        return SkippedDelivery(writer, seq, event_writer, event, *ids, at, SkipReason(reason), skipped_for)
    attempt = Attempt(delivery, number, started_at, finished_at, OutcomeKind(outcome), status, restored(error), "")
    return EndedAttempt(writer, seq, event_writer, event, *ids, State(state), last, attempt)
