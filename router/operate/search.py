"""Finds events by headers and by conditions on the payload.

No index has these, so a search reads events one by one, up to a limit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from router.domain.deliveries import Delivery
from router.domain.errors import EvaluationError, PayloadError
from router.domain.events import Event, ParsedEvent
from router.domain.filters import EventFilter, Filter
from router.domain.summaries import EventHead
from router.operate.event_pages import events_back
from router.operate.queries import newest_deliveries, newest_events
from router.rules.match.conditions import Condition
from router.rules.match.fields import FieldValues
from router.rules.parsing import parse_event
from router.rules.source import Source
from router.store.contract import PAGE, StoreReader

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class EventTest:
    """Conditions on an event besides the store's filter."""

    headers: tuple[tuple[str, str], ...] = ()  #: (name in lower case, value): the event has this value
    where: Condition | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)  #: how payloads are parsed

    def __bool__(self) -> bool:
        """Whether it has any condition."""
        return bool(self.headers) or self.where is not None

    def holds(self, event: Event) -> bool:
        """Whether the event matches. An event whose payload can't be parsed or judged does not match."""
        if event.hidden_size is not None:
            return False  # otherwise a search would reveal what is hidden
        named = event.named.by_name
        if any(value not in named.get(name, ()) for name, value in self.headers):
            return False
        if self.where is None:
            return True
        try:
            return self.where.holds(FieldValues(self._parsed(event)))
        except (PayloadError, EvaluationError):
            return False

    def _parsed(self, event: Event) -> ParsedEvent:
        return parse_event(event, self.sources.get(event.source))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one search reads."""

    events: int
    is_over: Callable[[], bool] = lambda: False  #: true when the time is over
    advance: Callable[[int], None] = lambda _: None  #: called with 1 for each event


@dataclass
class Found(Generic[Row]):
    """The result of a search, and how far it read."""

    items: list[Row] = field(default_factory=list)  #: the newest first
    scanned: int = 0  #: rows that were read
    scanned_to: Row | None = None  #: the last one read, if there are older ones


def find_events(
    store: StoreReader, which: EventFilter, test: EventTest, limit: int, bounds: Bounds, after: int = 0
) -> Found[EventHead]:
    """Up to `limit` events older than the one with seq `after` (0: from the newest on). Raises StoreError."""
    if not test:
        return Found(newest_events(store, which, limit, after))
    tested = ((head, test.holds(stored.event)) for head, stored in events_back(store, which, after))
    return _found(tested, limit, bounds)


def find_deliveries(
    store: StoreReader, which: Filter, test: EventTest, limit: int, bounds: Bounds, after: int = 0
) -> Found[Delivery]:
    """Up to `limit` deliveries whose event fits, older than the one with seq `after`. Raises StoreError."""
    if not test:
        return Found(newest_deliveries(store, which, limit, after))
    return _found(_tested_deliveries(store, which, test, after), limit, bounds)


def _found(tested: Iterable[tuple[Row, bool]], limit: int, bounds: Bounds) -> Found[Row]:
    """The rows that hold, of rows that are tested one by one."""
    found: Found[Row] = Found()
    for row, holds in tested:
        found.scanned += 1
        bounds.advance(1)
        if holds:
            found.items.append(row)
            if len(found.items) == limit:
                break
        if found.scanned >= bounds.events or bounds.is_over():
            found.scanned_to = row
            break
    return found


def _tested_deliveries(
    store: StoreReader, which: Filter, test: EventTest, after: int
) -> Iterator[tuple[Delivery, bool]]:
    event_id, holds = "", False  # the deliveries of an event mostly follow one another
    while page := store.deliveries(which, limit=PAGE, after=after, newest_first=True):
        for delivery in page:
            if event_id != delivery.event_id:
                event_id, event = delivery.event_id, store.event(delivery.event_id)
                holds = event is not None and test.holds(event)
            yield delivery, holds
        after = page[-1].seq


def headers_test(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of name and value, in the form of EventTest."""
    return tuple((name.lower(), value) for name, value in pairs)


def path_names(sources: Mapping[str, Source]) -> frozenset[str]:
    """The names of the parts of these sources' paths."""
    return frozenset(name for source in sources.values() if source.pattern is not None for name in source.pattern.names)
