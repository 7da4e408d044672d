"""Queries for followers: events and ended attempts after a position. No position is used twice."""

from collections.abc import Sequence
from typing import Any

import orjson

from router.domain.deliveries import Attempt, State
from router.domain.groups import SkipReason
from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival, EndedAttempt, EndedPage, Place, SkippedDelivery, StreamPosition
from router.store.sqlite.rows import BODY_SIZE

WRITER = 1  #: only one process at a time writes

# The highest seq ever used, even if its event was pruned.
NEWEST_EVENT = """
max(
    coalesce((SELECT max(seq) FROM event), 0),
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)
)
"""

NEWEST = f"SELECT {NEWEST_EVENT}, coalesce((SELECT max(seq) FROM settled), 0)"  # noqa: S608 - constants

# A delivery was skipped when its last attempt ended, or when the delivery that replaces it came.
_SKIPPED_AT = """
max(
    d.created_at,
    coalesce((SELECT created_at FROM delivery WHERE id = d.skipped_for AND d.skip_reason = 'newer'), 0),
    coalesce((SELECT max(finished_at) FROM attempt WHERE delivery = d.seq), 0)
)
"""

# Reads every remembered end of an attempt: an index by time would make every attempt slower.
ENDED_BEFORE = f"""
SELECT coalesce(
    (
        SELECT min(seq) - 1 FROM (
            SELECT min(s.seq) AS seq
            FROM settled s CROSS JOIN attempt a ON a.delivery = s.delivery AND a.number = s.number
            WHERE a.finished_at >= ?1
            UNION ALL
            SELECT min(s.seq) FROM settled s CROSS JOIN delivery d ON d.seq = s.delivery
            WHERE s.number = 0 AND d.state = 'skipped' AND {_SKIPPED_AT} >= ?1
        )
    ),
    (SELECT max(seq) FROM settled),
    0
)
"""  # noqa: S608 - constants

# An event's id begins with a time, never less than the event's: the index on ids leads to the first event.
EVENTS_BEFORE = f"""
SELECT coalesce((SELECT min(+seq) - 1 FROM event WHERE id >= ? AND received_at >= ?), {NEWEST_EVENT})
"""  # noqa: S608 - constants

ARRIVALS = f"""
SELECT e.seq, e.id, e.source, e.method, e.path, e.received_at, {BODY_SIZE}, (
    SELECT json_group_array(json_array(rule, action, target))
    FROM (SELECT rule, action, target FROM delivery WHERE event = e.seq ORDER BY seq)
)
FROM event e WHERE e.seq > ? ORDER BY e.seq LIMIT ?
"""  # noqa: S608 - constants

# Pruned attempts, and skipped deliveries that were replayed, give rows of NULLs, so that the position goes past them.
ENDED = f"""
SELECT s.seq, e.seq, e.id, e.source, d.id, d.rule, d.action, d.type, d.target, d.state,
    NOT EXISTS (SELECT 1 FROM attempt n WHERE n.delivery = a.delivery AND n.number > a.number),
    s.number, a.started_at, a.finished_at, a.outcome, a.status, a.error,
    CASE WHEN s.number = 0 THEN {_SKIPPED_AT} END, d.skip_reason, d.skipped_for
FROM settled s
LEFT JOIN attempt a ON a.delivery = s.delivery AND a.number = s.number
LEFT JOIN delivery d ON d.seq = s.delivery AND (a.number IS NOT NULL OR s.number = 0 AND d.state = 'skipped')
LEFT JOIN event e ON e.seq = d.event
WHERE s.seq > ? ORDER BY s.seq LIMIT ?
"""  # noqa: S608 - constants


def arrival_row(row: tuple[Any, ...]) -> Arrival:
    """From a row of ARRIVALS."""
    seq, id_, source, method, path, received_at, size, plan = row
    planned = tuple((rule, action, target) for rule, action, target in orjson.loads(plan))
    return Arrival(WRITER, seq, id_, source, method, path, received_at, size, planned)


def position(event: int, ended: int) -> StreamPosition:
    """The position after an event and an end of an attempt, by their seqs."""
    return StreamPosition({WRITER: max(0, event)}, {WRITER: max(0, ended)})


def seq_of(place: Place) -> int:
    """The seq of the last row that was read; 0 before the first."""
    return place.get(WRITER, 0)


def ended_page(rows: Sequence[tuple[Any, ...]], after: Place, limit: int) -> EndedPage:
    """From rows of ENDED."""
    ends = tuple(_ended_row(row) for row in rows if row[2] is not None)
    return EndedPage(ends, {WRITER: rows[-1][0]} if rows else after, len(rows) == limit)


def _ended_row(row: tuple[Any, ...]) -> EndedAttempt | SkippedDelivery:
    seq, event, event_id, source, delivery, rule, action, type_, target, state, last, *facts = row
    number, started_at, finished_at, outcome, status, error, at, reason, skipped_for = facts
    if number == 0:
        names = (event_id, source, delivery, rule, action, type_, target)
        return SkippedDelivery(WRITER, seq, WRITER, event, *names, at, SkipReason(reason), skipped_for)
    attempt = Attempt(delivery, number, started_at, finished_at, OutcomeKind(outcome), status, error, "")
    return EndedAttempt(
        WRITER,
        seq,
        WRITER,
        event,
        event_id,
        source,
        delivery,
        rule,
        action,
        type_,
        target,
        State(state),
        bool(last),
        attempt,
    )
