"""Follows a store: events, ended attempts and skipped deliveries in one stream, as they are committed."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival, EndedAttempt, SkippedDelivery, StreamPosition, has_passed
from router.store.contract import PAGE, OperatorStore

StreamItem = Arrival | EndedAttempt | SkippedDelivery


@dataclass(frozen=True, slots=True)
class StreamFilter:
    """Which events, attempts and skips to keep. None in a field: any value."""

    source: str | None = None
    rule: str | None = None
    target: str | None = None
    failed: bool = False  #: keep only attempts that did not succeed

    def matches(self, item: StreamItem) -> bool:
        """Whether to keep this item. An event is kept if one of its deliveries matches."""
        if self.source not in (None, item.source):
            return False
        if isinstance(item, EndedAttempt):
            failed = item.attempt.outcome is not OutcomeKind.SUCCEEDED
            return self._has_route(item.rule, item.target) and (failed or not self.failed)
        if self.failed:
            return False
        if isinstance(item, SkippedDelivery):
            return self._has_route(item.rule, item.target)
        return any(self._has_route(rule, target) for rule, _, target in item.plan) or self.rule is self.target is None

    def _has_route(self, rule: str, target: str) -> bool:
        return self.rule in (None, rule) and self.target in (None, target)


class Follower:
    """Yields each event, each ended attempt and each skipped delivery once. Belongs to one thread.

    Each writer's events come in the order of its commits, and so do its attempts. An event comes before its attempts;
    otherwise the two are merged by time. Each read is short: a long one would let the write-ahead log grow.
    """

    def __init__(self, store: OperatorStore, position: StreamPosition) -> None:
        self._store = store
        self._position = position
        self._read = dict(position.events)  #: the last events that were read from the store
        self._pending: deque[Arrival] = deque()  #: read but not yet yielded

    def new_items(self) -> Iterator[StreamItem]:
        """Everything that was committed since the last call. Raises StoreError."""
        more = True
        while more:
            # Read attempts before events, so that the event of each attempt is already committed.
            page = self._store.ended(self._position.ended)
            if not self._pending:
                self._fill()
            for end in page.ends:
                yield from self._events_before(end)
                yield end
            self._position = StreamPosition(dict(self._read), page.next_after)
            more = page.more
        more = True
        while more:
            while self._pending:
                yield self._pending.popleft()
            more = self._fill()

    def _events_before(self, end: EndedAttempt | SkippedDelivery) -> Iterator[Arrival]:
        """The events that come before an end: its own event, and events received earlier."""
        at = end.at if isinstance(end, SkippedDelivery) else end.attempt.finished_at or 0
        while self._pending or not has_passed(self._read, end.event_writer, end.event):
            if not self._pending:
                self._fill()
                if not self._pending:
                    return  # its event was pruned in the meantime
            event = self._pending[0]
            if not self._has_pending(end) and event.received_at > at:
                return
            yield self._pending.popleft()

    def _has_pending(self, end: EndedAttempt | SkippedDelivery) -> bool:
        """Whether its event may be among the pending ones."""
        first = next((event for event in self._pending if event.writer == end.event_writer), None)
        return first is not None and first.seq <= end.event

    def _fill(self) -> bool:
        """Read a page of events. True if there may be more."""
        found = self._store.arrivals(self._read)
        self._pending += found
        self._read.update((event.writer, event.seq) for event in found)
        return len(found) == PAGE


def latest(store: OperatorStore, lines: int, which: StreamFilter) -> tuple[Follower, list[StreamItem]]:
    """A follower at the end of the stream, and the last `lines` items that match.

    Reads the newest `lines` events and the newest `lines` attempts, and nothing older.
    """
    follower = Follower(store, store.newest(lines))
    last: deque[StreamItem] = deque((item for item in follower.new_items() if which.matches(item)), maxlen=lines)
    return follower, list(last)
