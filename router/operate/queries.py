"""Lists events and deliveries, the newest first, in pages: a long read would let the write-ahead log grow."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import orjson

from router.domain.deliveries import Delivery, State
from router.domain.filters import EventFilter, Filter
from router.domain.summaries import EventHead
from router.intake.dedupe_key import hashed_key, stored_key
from router.store.contract import PAGE, StoreReader


class _HasSeq(Protocol):
    @property
    def seq(self) -> int: ...


_T = TypeVar("_T", bound=_HasSeq)


def filter_of(states: Iterable[State], given: Mapping[str, Any]) -> Filter:
    """The filter of these flags or parameters; times in ms."""
    return Filter(
        states=tuple(states),
        rule=given["rule"],
        action=given["action"],
        target=given["target"],
        source=given["source"],
        event_id=given["event"],
        since=given["since"],
        until=given["until"],
    )


def keys_of(provider_id: str) -> tuple[str, ...]:
    """The dedupe keys that this id of a provider may have: as a text or a number, also redacted."""
    is_number = _NUMBER.fullmatch(provider_id) is not None
    keys = (stored_key(provider_id), *((stored_key(orjson.loads(provider_id)),) if is_number else ()))
    return tuple(dict.fromkeys([*keys, *map(hashed_key, keys)]))


def of_provider(store: StoreReader, which: Filter, provider_id: str) -> Filter:
    """The filter, limited to the newest event with this provider's id. Raises StoreError."""
    found = store.event_heads(EventFilter(dedupe_keys=keys_of(provider_id)), limit=1, newest_first=True)
    event_id = found[0].id if found else provider_id  # no event has such an id, so nothing is found
    return replace(which, event_id=event_id if which.event_id in (None, event_id) else provider_id)


_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?")


def newest_deliveries(store: StoreReader, which: Filter, limit: int, after: int = 0) -> list[Delivery]:
    """Up to `limit` deliveries older than the one with seq `after` (0: from the newest on). Raises StoreError."""
    return _newest(lambda size, at: store.deliveries(which, limit=size, after=at, newest_first=True), limit, after)


def newest_events(store: StoreReader, which: EventFilter, limit: int, after: int = 0) -> list[EventHead]:
    """The same for events. Raises StoreError."""
    return _newest(lambda size, at: store.event_heads(which, limit=size, after=at, newest_first=True), limit, after)


def _newest(page_of: Callable[[int, int], list[_T]], limit: int, after: int) -> list[_T]:
    found: list[_T] = []
    while len(found) < limit:
        wanted = min(PAGE, limit - len(found))
        page = page_of(wanted, found[-1].seq if found else after)
        found += page
        if len(page) < wanted:
            break
    return found
