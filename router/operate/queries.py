"""Lists events and deliveries, the newest first. Reads pages: a long read would let the write-ahead log grow."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from router.domain.deliveries import Delivery, State
from router.domain.filters import EventFilter, Filter
from router.domain.summaries import EventHead
from router.store.contract import PAGE, OperatorStore


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


def newest_deliveries(store: OperatorStore, which: Filter, limit: int, after: int = 0) -> list[Delivery]:
    """Up to `limit` deliveries older than the one with seq `after` (0: from the newest on). Raises StoreError."""
    return _newest(lambda size, at: store.deliveries(which, limit=size, after=at, newest_first=True), limit, after)


def newest_events(store: OperatorStore, which: EventFilter, limit: int, after: int = 0) -> list[EventHead]:
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
