"""The body of a frame with an event and its plan, or with the result of storing it."""

import struct
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import StoreError, StoreUnavailable
from router.domain.events import Appended, Event, Routing
from router.domain.groups import group_of

_LENGTH = struct.Struct("<I")
_PLANNED = attrgetter(*(one.name for one in fields(PlannedDelivery)))
_STORED, _DUPLICATE, _UNAVAILABLE, _FAILED = b"s", b"d", b"u", b"f"


class PlannedEvent(NamedTuple):
    """The arguments of the store's `append`."""

    event: Event
    plan: tuple[PlannedDelivery, ...]
    routing: Routing
    window: int  #: ms


def encode_event(event: Event, plan: Sequence[PlannedDelivery], routing: Routing, window: int) -> tuple[bytes, ...]:
    """The parts of the body: a list in JSON, and the event's body unchanged.

    Raises StoreError when the event holds a text that no store can keep.
    """
    facts = (event.id, event.source, event.method, event.path, event.query, event.headers, event.ip, event.received_at,
             event.dedupe_key, routing.ruleset, routing.matched, routing.errors, window)  # fmt: skip
    planned = [_PLANNED(one) for one in plan]
    try:
        head = orjson.dumps((facts, planned))
    except TypeError:  # a lone surrogate
        raise StoreError("the event holds text that is not Unicode") from None
    return _LENGTH.pack(len(head)), head, event.body


def decode_event(body: bytes) -> PlannedEvent:
    """The event in a body."""
    start = _LENGTH.size
    end = start + _LENGTH.unpack_from(body)[0]
    facts, planned = orjson.loads(memoryview(body)[start:end])
    id_, source, method, path, query, headers, ip, received_at, key, *routing, window = facts
    event = Event(id_, source, method, path, query, tuple(map(tuple, headers)), body[end:], ip, received_at, key)
    ruleset, matched, errors = routing
    known = Routing(ruleset, tuple(matched), tuple(map(tuple, errors)))
    return PlannedEvent(event, tuple(map(_planned, planned)), known, window)


def _planned(values: list[Any]) -> PlannedDelivery:
    if values[-1] is not None:
        values[-1] = group_of(values[-1])
    return PlannedDelivery(*values)


def encode_result(stored: Appended) -> bytes:
    """The event is stored, now or earlier."""
    return _DUPLICATE + stored.event_id.encode() if stored.duplicate else _STORED


def encode_failure(error: BaseException) -> bytes:
    """The event is not stored."""
    code = _FAILED if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable) else _UNAVAILABLE
    return code + str(error).encode(errors="replace")


def decode_result(body: bytes, event_id: str) -> Appended | StoreError:
    """The result for the event with this id."""
    code, text = body[:1], body[1:].decode()
    if code == _STORED:
        return Appended(event_id)
    if code == _DUPLICATE:
        return Appended(text, duplicate=True)
    return StoreUnavailable(text) if code == _UNAVAILABLE else StoreError(text)
