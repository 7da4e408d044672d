"""Ids as a person writes them: whole, by their beginning, of the other kind, or `last`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from router.domain.errors import RouterError
from router.store.contract import OperatorStore

SHORTEST = 8  #: characters of a beginning; they stand for the minute in which the event came
LAST = "last"
_SHOWN = 5  #: ids that a beginning may mean
_BEGINNING = re.compile(r"[0-9a-f-]+")
_WHOLE = 36  #: characters

Kind = Literal["event", "delivery"]


class NoSuchId(RouterError):
    """No event or delivery is meant by what was written; the text says why, and what to write."""

    def __init__(self, message: str, *, only_missing: bool = False) -> None:
        super().__init__(message)
        self.only_missing = only_missing  #: there is nothing more to say of it


@dataclass(frozen=True, slots=True)
class Named:
    """What an id stands for."""

    id: str
    said: str = ""  #: to be told: it was the other kind's


def named_event(store: OperatorStore, text: str) -> Named:
    """The event that is meant, also by one of its deliveries. Raises NoSuchId, StoreError."""
    found = _ids(store, "event", text)
    if found:
        return Named(_one("event", text, found))
    deliveries = _ids(store, "delivery", text)
    if not deliveries:
        raise NoSuchId(_nothing("event", text), only_missing=True)
    delivery_id = _one("delivery", text, deliveries)
    delivery = store.delivery(delivery_id)
    if delivery is None:
        raise NoSuchId(f"the delivery {delivery_id} was pruned meanwhile")
    return Named(delivery.event_id, f"{delivery_id} is a delivery; this is its event, {delivery.event_id}")


def event_alone(store: OperatorStore, text: str) -> Named:
    """The event that is meant, where one of its deliveries would mean less. Raises NoSuchId, StoreError."""
    found = _ids(store, "event", text)
    if found:
        return Named(_one("event", text, found))
    if _ids(store, "delivery", text):
        raise NoSuchId(f"{text} is a delivery, no event; write deliveries instead of events, or the event's id")
    raise NoSuchId(_nothing("event", text), only_missing=True)


def named_delivery(store: OperatorStore, text: str) -> Named:
    """The delivery that is meant. Raises NoSuchId, StoreError."""
    found = _ids(store, "delivery", text)
    if found:
        return Named(_one("delivery", text, found))
    events = _ids(store, "event", text)
    if events:
        event_id = _one("event", text, events)
        raise NoSuchId(f"{event_id} is an event; its deliveries are shown by: deliveries list --event {event_id}")
    raise NoSuchId(_nothing("delivery", text), only_missing=True)


def no_such(store: OperatorStore, kind: Kind, text: str) -> str:
    """What to tell a program that asked by an id, which has to be a whole one. Raises StoreError."""
    other: Kind = "delivery" if kind == "event" else "event"
    message = f"the store has no {kind} with this id"
    if len(text) == _WHOLE and _ids(store, other, text):
        found = "an event" if other == "event" else "a delivery"
        return f"{message}: it is the id of {found}, see /api/{_PLURAL[other]}/{{id}}"
    if _BEGINNING.fullmatch(text) and len(text) < _WHOLE:
        return f"{message}: ids are given whole here, all {_WHOLE} characters"
    return message


def _ids(store: OperatorStore, kind: Kind, text: str) -> Sequence[str]:
    """The ids that may be meant, a few at the most."""
    if text == LAST:
        if kind == "event":
            return [head.id for head in store.event_heads(limit=1, newest_first=True)]
        return [delivery.id for delivery in store.deliveries(limit=1, newest_first=True)]
    beginning = _beginning(text)
    if len(beginning) < SHORTEST or len(beginning) > _WHOLE or not _BEGINNING.fullmatch(beginning):
        return []
    return store.ids_from(kind, beginning, _SHOWN + 1)


def _beginning(text: str) -> str:
    """As ids are written; the dots by which documentation shortens them are no part of it."""
    return text.strip().rstrip("….").lower()


def _one(kind: Kind, text: str, found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    more = " …" if len(found) > _SHOWN else ""
    listed = " ".join(found[:_SHOWN])
    raise NoSuchId(f'"{text}" is the beginning of several {_PLURAL[kind]}: {listed}{more}; write more of it')


def _nothing(kind: Kind, text: str) -> str:
    if text == LAST:
        return f"the store has no {kind} yet"
    beginning = _beginning(text)
    if not _BEGINNING.fullmatch(beginning) or len(beginning) > _WHOLE:
        return (
            f"the store has no {kind} {text}; an id looks like 0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b ({_LISTED[kind]})"
        )
    if len(beginning) < SHORTEST:
        return f'"{text}" is too short: write the beginning of an id, {SHORTEST} characters at least, or {LAST}'
    return f"the store has no {kind} {text}; {_LISTED[kind]}"


_PLURAL = {"event": "events", "delivery": "deliveries"}
_LISTED = {"event": "`events list` shows which there are", "delivery": "`deliveries list` shows which there are"}
