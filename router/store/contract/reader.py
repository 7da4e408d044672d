"""Reading: what any process may ask a store."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from router.domain.activity import Bucket, RecentMatches
from router.domain.deliveries import Attempt, Delivery, RulesetText
from router.domain.events import Event, Routing, StoredEvent
from router.domain.filters import EventFilter, Filter
from router.domain.holds import Holds
from router.domain.polls import PollState
from router.domain.stream import Arrival, EndedPage, Place, StreamPosition
from router.domain.summaries import Depth, EventHead
from router.store.contract.facts import PAGE, StoreSize
from router.store.fleet import NodeState
from router.store.search_back import FoundBack


class StoreState(Protocol):
    """Where a store is, and whether it works. Any thread may ask."""

    @property
    def location(self) -> str:
        """Where the store is, for messages and reports. Contains no password."""
        ...

    def size(self) -> StoreSize:
        """The disk space that the store uses, and the free space. Raises StoreError when the system can't tell."""
        ...

    def owner(self) -> int | None:
        """The process of the daemon that owns the store; 0 when the daemon runs and its process is unknown, None when
        no daemon runs."""
        ...

    def is_replaced(self) -> bool:
        """Whether the store at this location was removed, or replaced by another."""
        ...


class StoreReader(StoreState, Protocol):
    """What any process may read: events, deliveries, attempts, rulesets, notes, and the store's own state."""

    def event(self, event_id: str) -> Event | None:
        """One event."""
        ...

    def events(self, *, limit: int = 100, before: str | None = None) -> list[Event]:
        """Events, the newest first; `before` is an event id, for the next page."""
        ...

    def event_heads(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[EventHead]:
        """Events without their bodies, in pages by seq; see `deliveries`."""
        ...

    def stored_events(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[StoredEvent]:
        """Events with their bodies, in pages by seq; see `deliveries`. Ask for few, since bodies may be large."""
        ...

    def routing(self, event_id: str) -> Routing | None:
        """How the rules judged an event at its receipt. None: unknown."""
        ...

    def count_events(self, which: EventFilter, most: int | None = None) -> int:
        """The number of events that the filter selects. With `most`, counting ends there."""
        ...

    def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        ...

    def deliveries(
        self,
        which: Filter = Filter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
        above: int = 0,
    ) -> list[Delivery]:
        """Deliveries by seq.

        By default those above `after`, the oldest first. With `newest_first` those below `after` (0: all), the newest
        first. In both cases only those above `above`.
        """
        ...

    def search_events(self, which: EventFilter, limit: int, after: int = 0) -> FoundBack[EventHead]:
        """The newest events below seq `after` (0: all of them), as `search_back` finds them: in a bounded time, however
        large the store is, and with how far it has looked."""
        ...

    def search_deliveries(self, which: Filter, limit: int, after: int = 0) -> FoundBack[Delivery]:
        """The same for deliveries."""
        ...

    def count(self, which: Filter, most: int | None = None) -> int:
        """The number of deliveries that the filter selects; with `most`, counting ends there."""
        ...

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """Every attempt of a delivery, by number."""
        ...

    def ruleset(self, ruleset_hash: str) -> RulesetText | None:
        """One ruleset's text."""
        ...

    def ids_from(self, kind: Literal["event", "delivery"], beginning: str, limit: int) -> list[str]:
        """The ids with this beginning, the newest first."""
        ...

    def event_sources(self) -> list[str]:
        """The names of the sources that events came from, sorted. One quick look-up for each."""
        ...

    def recent_names(self) -> list[tuple[str, str, str, str]]:
        """(source, rule, action, target) of recent deliveries, each once. An event without deliveries gives its source
        and three empty texts."""
        ...

    def waiting(self, rules: Iterable[str]) -> dict[str, int]:
        """By rule name: how many of its deliveries are pending or running. Rules without any are left out."""
        ...

    def activity(self, bounds: Sequence[int]) -> list[Bucket]:
        """What came in during each span. The spans begin at these times (ms, rising); the last one has no end.

        Reads a few hundred rows of a span at most, however large the store is. Larger numbers are estimates.
        """
        ...

    def recent_matches(self, rules: Sequence[str]) -> RecentMatches:
        """What each of these rules matched among about the newest 10,000 events."""
        ...

    def depths(self) -> list[Depth]:
        """By target, sorted by name: the numbers of waiting, running and dead deliveries. Targets without any are left
        out."""
        ...

    def holds(self) -> Holds:
        """All holds, including those that have ended."""
        ...

    def notes(self) -> dict[str, str]:
        """Every note by name."""
        ...

    def newest(self, lines: int = 0) -> StreamPosition:
        """The position before the newest `lines` events and as many ended attempts. Everything committed later comes
        after it."""
        ...

    def position_at(self, since: int) -> StreamPosition:
        """The position before all events received, and all remembered attempts ended, since that time (ms)."""
        ...

    def arrivals(self, after: Place, limit: int = PAGE) -> list[Arrival]:
        """Events after a position's `events`, each writer's in the order of its commits. No position is used twice."""
        ...

    def ended(self, after: Place, limit: int = PAGE) -> EndedPage:
        """Attempts that ended and deliveries that were skipped, after a position's `ended`, each writer's in commit
        order.

        A skipped delivery comes after its last attempt. One that was replayed since is left out. The store remembers at
        least the last 100,000.
        """
        ...

    def nodes(self) -> tuple[NodeState, ...]:
        """The nodes that serve from this store, the oldest first; none for a store that one daemon owns alone."""
        ...

    def polls(self) -> list[PollState]:
        """The state of each polled source, by name."""
        ...

    def poll_of(self, source: str) -> PollState | None:
        """What is known of one polled source."""
        ...

    def known_items(self, series: str, ids: Sequence[str]) -> set[str]:
        """Those of the ids that polls of a series have seen and that are still remembered."""
        ...

    def changes(self) -> int:
        """A counter that changes when another connection commits. Cheap to call; compare values of one thread only."""
        ...

    def close(self) -> None:
        """Commit the queued writes, then release the store. Later writes fail with StoreUnavailable, reads with
        StoreError."""
        ...
