"""Follows a store: what was committed since one looked, events and ended attempts in one stream."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from router.domain.outcomes import OutcomeKind
from router.domain.stream import Arrival, EndedAttempt, StreamPosition
from router.store.contract import PAGE, OperatorStore

News = Arrival | EndedAttempt


@dataclass(frozen=True, slots=True)
class Which:
    """What somebody wants to hear of; none: of all."""

    source: str | None = None
    rule: str | None = None
    target: str | None = None
    failed: bool = False  #: attempts that did not succeed, and nothing else

    def wants(self, news: News) -> bool:
        """Whether this is of it; an event is when one of its deliveries is."""
        if self.source not in (None, news.source):
            return False
        if isinstance(news, EndedAttempt):
            failed = news.attempt.outcome is not OutcomeKind.SUCCEEDED
            return self._is_way(news.rule, news.target) and (failed or not self.failed)
        if self.failed:
            return False
        return any(self._is_way(rule, target) for rule, _, target in news.plan) or self.rule is self.target is None

    def _is_way(self, rule: str, target: str) -> bool:
        return self.rule in (None, rule) and self.target in (None, target)


class Follower:
    """Gives each event and each ended attempt once. Belongs to one thread.

    Events come in the order of their commits, and so do attempts; an event comes before its attempts, and otherwise
    the two are merged by their times. Each read is short, so that the write-ahead log does not grow for it.
    """

    def __init__(self, store: OperatorStore, place: StreamPosition) -> None:
        self._store = store
        self._place = place
        self._read = place.event  #: seq of the last event that was read
        self._waiting: deque[Arrival] = deque()  #: read, and not given yet

    def news(self) -> Iterator[News]:
        """What came since the last time. Raises StoreError."""
        more = True
        while more:
            # The ends before the events: so the event of each end is there to be read.
            page = self._store.ended(self._place.ended)
            if not self._waiting:
                self._fill()
            for end in page.attempts:
                yield from self._before(end)
                yield end
            self._place = StreamPosition(self._read, page.next_after)
            more = page.more
        more = True
        while more:
            while self._waiting:
                yield self._waiting.popleft()
            more = self._fill()

    def _before(self, end: EndedAttempt) -> Iterator[Arrival]:
        """The events that come before an end: its own at least."""
        while self._waiting or end.event > self._read:
            if not self._waiting:
                self._fill()
                if not self._waiting:
                    return  # its event is pruned by now
            event = self._waiting[0]
            if event.seq > end.event and event.received_at > (end.attempt.finished_at or 0):
                return
            yield self._waiting.popleft()

    def _fill(self) -> bool:
        """Read some events; whether there may be more."""
        found = self._store.arrivals(self._read)
        self._waiting += found
        if found:
            self._read = found[-1].seq
        return len(found) == PAGE


def latest(store: OperatorStore, lines: int, which: Which) -> tuple[Follower, list[News]]:
    """A follower that has given all there is, and the last few of it that are wanted.

    Looked at are the newest `lines` events and the newest `lines` attempts.
    """
    newest = store.newest()
    start = StreamPosition(max(0, newest.event - lines), max(0, newest.ended - lines))
    follower = Follower(store, start)
    shown: deque[News] = deque((news for news in follower.news() if which.wants(news)), maxlen=lines)
    return follower, list(shown)
