"""Finds events by headers and by conditions on the payload.

No index has these, so a search reads events one by one, up to a limit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
class FoundEvents:
    """The result of a search, and how far it read."""

    items: list[EventHead] = field(default_factory=list)  #: the newest first
    scanned: int = 0  #: events that were read
    scanned_to: EventHead | None = None  #: the last one read, if there are older ones


@dataclass
class FoundDeliveries:
    """The same for deliveries."""

    items: list[Delivery] = field(default_factory=list)
    scanned: int = 0  #: deliveries that were read
    scanned_to: Delivery | None = None


def find_events(
    store: StoreReader, which: EventFilter, test: EventTest, limit: int, bounds: Bounds, after: int = 0
) -> FoundEvents:
    """Up to `limit` events older than the one with seq `after` (0: from the newest on). Raises StoreError."""
    if not test:
        return FoundEvents(newest_events(store, which, limit, after))
    found = FoundEvents()
    for head, stored in events_back(store, which, after):
        found.scanned += 1
        bounds.advance(1)
        if test.holds(stored.event):
            found.items.append(head)
            if len(found.items) == limit:
                break
        if found.scanned >= bounds.events or bounds.is_over():
            found.scanned_to = head
            break
    return found


def find_deliveries(
    store: StoreReader, which: Filter, test: EventTest, limit: int, bounds: Bounds, after: int = 0
) -> FoundDeliveries:
    """Up to `limit` deliveries whose event fits, older than the one with seq `after`. Raises StoreError."""
    if not test:
        return FoundDeliveries(newest_deliveries(store, which, limit, after))
    found = FoundDeliveries()
    last: tuple[str, bool] = ("", False)  # the deliveries of an event mostly follow one another
    for delivery in _deliveries_back(store, which, after):
        if last[0] != delivery.event_id:
            event = store.event(delivery.event_id)
            last = (delivery.event_id, event is not None and test.holds(event))
        found.scanned += 1
        bounds.advance(1)
        if last[1]:
            found.items.append(delivery)
            if len(found.items) == limit:
                break
        if found.scanned >= bounds.events or bounds.is_over():
            found.scanned_to = delivery
            break
    return found


def _deliveries_back(store: StoreReader, which: Filter, after: int) -> Iterator[Delivery]:
    while page := store.deliveries(which, limit=PAGE, after=after, newest_first=True):
        yield from page
        after = page[-1].seq


def headers_test(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of name and value, in the form of EventTest."""
    return tuple((name.lower(), value) for name, value in pairs)


def path_names(sources: Mapping[str, Source]) -> frozenset[str]:
    """The names of the parts of these sources' paths."""
    return frozenset(name for source in sources.values() if source.pattern is not None for name in source.pattern.names)
