"""Turns rows into events, deliveries, claims and attempts."""

from typing import Any

import orjson

from router.domain.deliveries import Attempt, Claim, Delivery, State
from router.domain.events import Event, StoredEvent
from router.domain.groups import SkipReason
from router.domain.outcomes import OutcomeKind
from router.domain.summaries import EventHead
from router.store.json_columns import routing_of, sent_of
from router.store.postgres.arrays import restored

EVENT_COLUMNS = "e.id, e.source, e.method, e.path, e.query, e.headers, e.body, e.ip, e.received_at, e.dedupe_key"
DELIVERY_COLUMNS = (
    "d.id, d.seq, e.id, d.rule, d.action, d.type, d.target, d.order_key, d.ruleset, d.state, d.next_attempt_at,"
    " d.attempts, d.interruptions, d.first_attempt_at, d.created_at, d.blocked, d.error, d.item, d.item_index"
)
#: with columns that only lists and reports show
SHOWN_COLUMNS = f"{DELIVERY_COLUMNS}, d.blocked & 4, d.latest_key, d.once_key, d.skip_reason, d.skipped_for"
ROUTING_COLUMNS = "e.ruleset, e.matched, e.errors"
_EVENT_WIDTH = 10
_DELIVERY_WIDTH = 19
_BLOCKED = 1  #: the bit of the column `blocked`, see schema_1.sql

EVENT_HEADS = """
SELECT e.seq, e.id, e.source, e.method, e.path, e.ip, e.received_at, octet_length(e.body), (
    SELECT json_object_agg(state, number)::text
    FROM (
        SELECT state, count(*) AS number FROM webhook_router.delivery WHERE event = e.seq GROUP BY state
    ) AS counted
)
FROM webhook_router.event e
"""


def event_row(row: tuple[Any, ...]) -> Event:
    """From EVENT_COLUMNS."""
    id_, source, method, path, query, headers, body, ip, received_at, key = row
    pairs = tuple([(name, value) for name, value in orjson.loads(headers)])
    key = None if key is None else restored(key)
    return Event(id_, source, method, restored(path), restored(query), pairs, body, ip, received_at, key)


def event_head_row(row: tuple[Any, ...]) -> EventHead:
    """From EVENT_HEADS."""
    seq, id_, source, method, path, ip, received_at, size, counts = row
    deliveries = {State(state): number for state, number in orjson.loads(counts or "{}").items()}
    return EventHead(seq, id_, source, method, restored(path), ip, received_at, size, deliveries)


def delivery_row(row: tuple[Any, ...]) -> Delivery:
    """From DELIVERY_COLUMNS or SHOWN_COLUMNS."""
    values = list(row)
    values[9] = State(values[9])
    values[15] = bool(values[15] & _BLOCKED)
    if len(values) > _DELIVERY_WIDTH:
        behind, latest, once, reason, skipped_for = values[_DELIVERY_WIDTH:]
        keys = [None if key is None else restored(key) for key in (latest, once)]
        values[_DELIVERY_WIDTH:] = [bool(behind), *keys, None if reason is None else SkipReason(reason), skipped_for]
    values[16] = restored(values[16])
    if values[7] is not None:
        values[7] = restored(values[7])
    return Delivery(*values)


def claimed_row(row: tuple[Any, ...], token: str) -> Claim:
    """From the columns of an event, of its delivery, and the number of the attempt."""
    event = event_row(row[:_EVENT_WIDTH])
    delivery = delivery_row(row[_EVENT_WIDTH : _EVENT_WIDTH + _DELIVERY_WIDTH])
    return Claim(token, delivery, event, row[_EVENT_WIDTH + _DELIVERY_WIDTH])


def attempt_row(row: tuple[Any, ...]) -> Attempt:
    """From delivery id, number, started_at, finished_at, outcome, status, error, excerpt, sent."""
    delivery, number, started_at, finished_at, outcome, status, error, excerpt, sent = row
    kind = OutcomeKind(outcome) if outcome is not None else None
    texts = (restored(error), restored(excerpt))
    return Attempt(delivery, number, started_at, finished_at, kind, status, *texts, sent_of(sent))


def stored_event_row(row: tuple[Any, ...]) -> StoredEvent:
    """From seq, EVENT_COLUMNS and ROUTING_COLUMNS."""
    return StoredEvent(row[0], event_row(row[1 : 1 + _EVENT_WIDTH]), routing_of(*row[1 + _EVENT_WIDTH :]))
