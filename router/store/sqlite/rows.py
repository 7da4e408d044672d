"""Turns rows into events, deliveries, claims and attempts."""

from typing import Any

import apsw
import orjson

from router.domain.deliveries import Attempt, Claim, Delivery, State
from router.domain.events import Event, StoredEvent
from router.domain.groups import SkipReason
from router.domain.outcomes import OutcomeKind
from router.domain.summaries import EventHead
from router.store.changes import DueListener
from router.store.json_columns import routing_of, sent_of
from router.store.sqlite.pieces import read_body

EVENT_COLUMNS = (
    "e.id, e.source, e.method, e.path, e.query, e.headers, e.body, e.ip, e.received_at, e.dedupe_key, e.size"
)
BODY_SIZE = "coalesce(e.size, length(e.body))"
ROUTING_COLUMNS = "e.ruleset, e.matched, e.errors"
DELIVERY_COLUMNS = (
    "d.id, d.seq, e.id, d.rule, d.action, d.type, d.target, d.order_key, d.ruleset, d.state, d.next_attempt_at,"
    " d.attempts, d.interruptions, d.first_attempt_at, d.created_at, d.blocked, d.error, d.item, d.item_index"
)
#: with columns that only lists and reports show
SHOWN_COLUMNS = f"{DELIVERY_COLUMNS}, d.blocked & 4, d.latest_key, d.once_key, d.skip_reason, d.skipped_for"
_EVENT_WIDTH = 11
_BODY, _SIZE = 6, 10  #: their places in EVENT_COLUMNS
_DELIVERY_WIDTH = 19
_BLOCKED = 1  #: the bit of the column `blocked`, see schema_5.sql
_SKIP_REASON = 22  #: its place in SHOWN_COLUMNS

# The deliveries that a claim takes, in their state after it: running, with the number of the new attempt.
DUE_NOW = f"""
SELECT {EVENT_COLUMNS}, {DELIVERY_COLUMNS.replace("d.state", "'running'")},
    1 + coalesce((SELECT max(number) FROM attempt WHERE delivery = d.seq), 0)
FROM delivery d INDEXED BY delivery_due CROSS JOIN event e ON e.seq = d.event
WHERE d.target = ? AND d.state = 'pending' AND d.blocked = 0 AND d.next_attempt_at <= ?
ORDER BY d.next_attempt_at, d.seq LIMIT ?
"""  # noqa: S608 - constants

# The same for one delivery, whatever it waits for.
DUE_ONE = f"""
SELECT {EVENT_COLUMNS}, {DELIVERY_COLUMNS.replace("d.state", "'running'")},
    1 + coalesce((SELECT max(number) FROM attempt WHERE delivery = d.seq), 0)
FROM delivery d CROSS JOIN event e ON e.seq = d.event
WHERE d.id = ? AND d.state = 'pending' AND d.blocked = 0
"""  # noqa: S608 - constants

EVENT_HEADS = f"""
SELECT e.seq, e.id, e.source, e.method, e.path, e.ip, e.received_at, {BODY_SIZE}, (
    SELECT json_group_object(state, number)
    FROM (SELECT state, count(*) AS number FROM delivery WHERE event = e.seq GROUP BY state)
)
FROM event e
"""  # noqa: S608 - constants


def with_body(connection: apsw.Connection, row: tuple[Any, ...], start: int = 0) -> tuple[Any, ...]:
    """A row with EVENT_COLUMNS from column `start` on. A body in pieces is read and put in, from the open transaction.

    Raises StoreError, apsw.Error.
    """
    size = row[start + _SIZE]
    if size is None:
        return row
    at = start + _BODY
    return (*row[:at], read_body(connection, row[start], size), *row[at + 1 :])


def event_row(row: tuple[Any, ...]) -> Event:
    """An event, from EVENT_COLUMNS. `with_body` has put the body in."""
    id_, source, method, path, query, headers, body, ip, received_at, key, _ = row
    pairs = tuple([(name, value) for name, value in orjson.loads(headers)])
    return Event(id_, source, method, path, query, pairs, body, ip, received_at, key)


def event_head_row(row: tuple[Any, ...]) -> EventHead:
    """From EVENT_HEADS."""
    seq, id_, source, method, path, ip, received_at, size, counts = row
    deliveries = {State(state): number for state, number in orjson.loads(counts).items()}
    return EventHead(seq, id_, source, method, path, ip, received_at, size, deliveries)


def delivery_row(row: tuple[Any, ...]) -> Delivery:
    """From DELIVERY_COLUMNS or SHOWN_COLUMNS."""
    values = list(row)
    values[9] = State(values[9])
    values[15] = bool(values[15] & _BLOCKED)
    if len(values) > _DELIVERY_WIDTH:
        values[_DELIVERY_WIDTH] = bool(values[_DELIVERY_WIDTH])
        reason = values[_SKIP_REASON]
        values[_SKIP_REASON] = None if reason is None else SkipReason(reason)
    return Delivery(*values)


def claimed_row(row: tuple[Any, ...], token: str, due: DueListener) -> Claim:
    """A claim, from a row of DUE_NOW. A body in pieces is left out, and `due` is told so."""
    if row[_SIZE] is not None:
        due.without_body(row[0], row[_SIZE])
    event = event_row(row[:_EVENT_WIDTH])
    delivery = delivery_row(row[_EVENT_WIDTH : _EVENT_WIDTH + _DELIVERY_WIDTH])
    return Claim(token, delivery, event, row[-1])


def attempt_row(row: tuple[Any, ...]) -> Attempt:
    """From delivery id, number, started_at, finished_at, outcome, status, error, excerpt, sent."""
    delivery, number, started_at, finished_at, outcome, status, error, excerpt, sent = row
    kind = OutcomeKind(outcome) if outcome is not None else None
    return Attempt(delivery, number, started_at, finished_at, kind, status, error, excerpt, sent_of(sent))


def stored_event_row(row: tuple[Any, ...]) -> StoredEvent:
    """From seq, EVENT_COLUMNS and ROUTING_COLUMNS."""
    return StoredEvent(row[0], event_row(row[1 : 1 + _EVENT_WIDTH]), routing_of(*row[1 + _EVENT_WIDTH :]))
