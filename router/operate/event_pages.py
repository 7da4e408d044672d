"""Reads many events with their bodies, a few at a time, so that memory use stays constant however large they are."""

from collections.abc import Iterator, Sequence

from router.domain.events import StoredEvent
from router.domain.filters import EventFilter
from router.domain.summaries import EventHead
from router.operate.scan import ScanPosition
from router.store.contract import PAGE, StoreReader

READ_BYTES = 4 * 1024 * 1024  #: of bodies that are read at once, or one larger body; 500 usual ones


def events_in_order(store: StoreReader, which: EventFilter, position: ScanPosition) -> Iterator[StoredEvent]:
    """The events that match a filter now, the oldest first, from a position on. Raises StoreError."""
    after, last = position.after, position.last or newest_seq(store)
    while page := [head for head in store.event_heads(which, limit=PAGE, after=after) if head.seq <= last]:
        for count in _portions(page):
            found = [one for one in store.stored_events(which, limit=count, after=after) if one.seq <= last]
            yield from found
            if not found:
                break
            after = found[-1].seq
        after = max(after, page[-1].seq)


def events_back(store: StoreReader, which: EventFilter, before: int = 0) -> Iterator[tuple[EventHead, StoredEvent]]:
    """The events that match a filter, the newest first, from those older than seq `before` on. Raises StoreError."""
    after = before
    while page := store.event_heads(which, limit=PAGE, after=after, newest_first=True):
        heads = {head.seq: head for head in page}
        for count in _portions(page):
            found = store.stored_events(which, limit=count, after=after, newest_first=True)
            yield from ((heads[one.seq], one) for one in found if one.seq in heads)
            if not found:
                break
            after = found[-1].seq
        after = min(after or page[-1].seq, page[-1].seq)


def newest_seq(store: StoreReader) -> int:
    """The seq of the newest event; 0 if there is none. Raises StoreError."""
    newest = store.event_heads(limit=1, newest_first=True)
    return newest[0].seq if newest else 0


def _portions(page: Sequence[EventHead]) -> Iterator[int]:
    """How many events to read at once, so that their bodies take READ_BYTES at the most."""
    count = size = 0
    for head in page:
        if count and size + head.size > READ_BYTES:
            yield count
            count = size = 0
        count += 1
        size += head.size
    yield count
