"""Finds an event or delivery by its id, the beginning of the id, the id of the other kind, or `last`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from router.domain.errors import RouterError
from router.store.contract import OperatorStore

SHORTEST = 8  #: characters of a beginning; these tell the minute in which the event was received
LAST = "last"
_LISTED_IDS = 5  #: ids that the error names when a beginning matches several
_BEGINNING = re.compile(r"[0-9a-f-]+")
_ID_LENGTH = 36

Kind = Literal["event", "delivery"]


class NoSuchId(RouterError):
    """The text does not identify one event or delivery. The message says why, and what to write."""

    def __init__(self, message: str, *, only_missing: bool = False) -> None:
        super().__init__(message)
        self.only_missing = only_missing  #: whether the message says only that it was not found


@dataclass(frozen=True, slots=True)
class ResolvedId:
    """The id that was found."""

    id: str
    note: str = ""  #: for the operator, when the text was an id of the other kind


def find_event(store: OperatorStore, text: str) -> ResolvedId:
    """The event with this id, or the event of the delivery with this id. Raises NoSuchId, StoreError."""
    found = _ids(store, "event", text)
    if found:
        return ResolvedId(_only_one("event", text, found))
    deliveries = _ids(store, "delivery", text)
    if not deliveries:
        raise NoSuchId(_not_found("event", text), only_missing=True)
    delivery_id = _only_one("delivery", text, deliveries)
    delivery = store.delivery(delivery_id)
    if delivery is None:
        raise NoSuchId(f"the delivery {delivery_id} was pruned in the meantime")
    return ResolvedId(delivery.event_id, f"{delivery_id} is a delivery; this is its event, {delivery.event_id}")


def find_event_strict(store: OperatorStore, text: str) -> ResolvedId:
    """The event with this id; a delivery's id is refused. Raises NoSuchId, StoreError."""
    found = _ids(store, "event", text)
    if found:
        return ResolvedId(_only_one("event", text, found))
    if _ids(store, "delivery", text):
        raise NoSuchId(f"{text} is a delivery, no event; write deliveries instead of events, or the event's id")
    raise NoSuchId(_not_found("event", text), only_missing=True)


def find_delivery(store: OperatorStore, text: str) -> ResolvedId:
    """The delivery with this id. Raises NoSuchId, StoreError."""
    found = _ids(store, "delivery", text)
    if found:
        return ResolvedId(_only_one("delivery", text, found))
    events = _ids(store, "event", text)
    if events:
        event_id = _only_one("event", text, events)
        raise NoSuchId(f"{event_id} is an event; its deliveries are shown by: deliveries list --event {event_id}")
    raise NoSuchId(_not_found("delivery", text), only_missing=True)


def ids_from(store: OperatorStore, kind: Kind, beginning: str) -> Sequence[str]:
    """Some ids with this beginning, at most one more than an error names; empty for a short beginning."""
    return _ids(store, kind, beginning)


def _ids(store: OperatorStore, kind: Kind, text: str) -> Sequence[str]:
    """The ids that match the text, at most one more than an error names."""
    if text == LAST:
        if kind == "event":
            return [head.id for head in store.event_heads(limit=1, newest_first=True)]
        return [delivery.id for delivery in store.deliveries(limit=1, newest_first=True)]
    beginning = _beginning(text)
    if len(beginning) < SHORTEST or len(beginning) > _ID_LENGTH or not _BEGINNING.fullmatch(beginning):
        return []
    return store.ids_from(kind, beginning, _LISTED_IDS + 1)


def _beginning(text: str) -> str:
    """In lower case, without the ellipsis with which documentation shortens an id."""
    return text.strip().rstrip("….").lower()


def _only_one(kind: Kind, text: str, found: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    more = " …" if len(found) > _LISTED_IDS else ""
    listed = " ".join(found[:_LISTED_IDS])
    raise NoSuchId(f'"{text}" is the beginning of several {_PLURAL[kind]}: {listed}{more}; write more of it')


def _not_found(kind: Kind, text: str) -> str:
    if text == LAST:
        return f"the store has no {kind} yet"
    beginning = _beginning(text)
    if not _BEGINNING.fullmatch(beginning) or len(beginning) > _ID_LENGTH:
        example = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
        return f"the store has no {kind} {text}; an id looks like {example} ({_LIST_HINT[kind]})"
    if len(beginning) < SHORTEST:
        return f'"{text}" is too short: write the beginning of an id, {SHORTEST} characters at least, or {LAST}'
    return f"the store has no {kind} {text}; {_LIST_HINT[kind]}"


_PLURAL = {"event": "events", "delivery": "deliveries"}
_LIST_HINT = {"event": "`events list` shows which there are", "delivery": "`deliveries list` shows which there are"}
