"""Queries for followers: events and ended attempts after a position. No position is used twice."""

from collections.abc import Sequence
from typing import Any

import orjson

from router.domain.deliveries import Attempt, State
from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival, EndedAttempt, EndedPage, Place, StreamPosition

WRITER = 1  #: only one process at a time writes

# The highest seq ever used, even if its event was pruned.
NEWEST_EVENT = """
max(
    coalesce((SELECT max(seq) FROM event), 0),
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)
)
"""

NEWEST = f"SELECT {NEWEST_EVENT}, coalesce((SELECT max(seq) FROM settled), 0)"  # noqa: S608 - constants

# Reads every remembered end of an attempt: an index by time would make every attempt slower.
ENDED_BEFORE = """
SELECT coalesce(
    (
        SELECT min(s.seq) - 1 FROM settled s CROSS JOIN attempt a ON a.delivery = s.delivery AND a.number = s.number
        WHERE a.finished_at >= ?
    ),
    (SELECT max(seq) FROM settled),
    0
)
"""

# An event's id begins with a time, never less than the event's: the index on ids leads to the first event.
EVENTS_BEFORE = f"""
SELECT coalesce((SELECT min(+seq) - 1 FROM event WHERE id >= ? AND received_at >= ?), {NEWEST_EVENT})
"""  # noqa: S608 - constants

ARRIVALS = """
SELECT e.seq, e.id, e.source, e.method, e.path, e.received_at, length(e.body), (
    SELECT json_group_array(json_array(rule, action, target))
    FROM (SELECT rule, action, target FROM delivery WHERE event = e.seq ORDER BY seq)
)
FROM event e WHERE e.seq > ? ORDER BY e.seq LIMIT ?
"""

# Pruned attempts give rows of NULLs, so that the position goes past them.
ENDED = """
SELECT s.seq, e.seq, e.id, e.source, d.id, d.rule, d.action, d.type, d.target, d.state,
    NOT EXISTS (SELECT 1 FROM attempt n WHERE n.delivery = a.delivery AND n.number > a.number),
    a.number, a.started_at, a.finished_at, a.outcome, a.status, a.error
FROM settled s
LEFT JOIN attempt a ON a.delivery = s.delivery AND a.number = s.number
LEFT JOIN delivery d ON d.seq = a.delivery
LEFT JOIN event e ON e.seq = d.event
WHERE s.seq > ? ORDER BY s.seq LIMIT ?
"""


def arrival_row(row: tuple[Any, ...]) -> Arrival:
    """From a row of ARRIVALS."""
    seq, id_, source, method, path, received_at, size, plan = row
    planned = tuple((rule, action, target) for rule, action, target in orjson.loads(plan))
    return Arrival(WRITER, seq, id_, source, method, path, received_at, size, planned)


def position(event: int, ended: int) -> StreamPosition:
    """The position after an event and an end of an attempt, by their seqs."""
    return StreamPosition({WRITER: max(0, event)}, {WRITER: max(0, ended)})


def seq_of(place: Place) -> int:
    """The seq of the last one that was read; 0: none was."""
    return place.get(WRITER, 0)


def ended_page(rows: Sequence[tuple[Any, ...]], after: Place, limit: int) -> EndedPage:
    """From rows of ENDED."""
    attempts = tuple(_ended_row(row) for row in rows if row[2] is not None)
    return EndedPage(attempts, {WRITER: rows[-1][0]} if rows else after, len(rows) == limit)


def _ended_row(row: tuple[Any, ...]) -> EndedAttempt:
    seq, event, event_id, source, delivery, rule, action, type_, target, state, last, *facts = row
    number, started_at, finished_at, outcome, status, error = facts
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
