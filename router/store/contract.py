"""What every store promises.

Any thread may call a store. Writing methods return a future at once; its result means: committed and durable.
A future fails with StoreUnavailable when the commit could not be made (disk full, I/O error, too far behind, closed);
the call may then be made again, and nothing of it was stored. A row that can't be stored fails alone, with StoreError.
A store that was opened without owning it (for commands beside a daemon, or without one) takes an operator's writes,
`replay`, `cancel` and `plan_again`, each in one transaction that the daemon notices by itself; every other write fails
with StoreError. Its writes belong to one thread, and are done when they return.
Callbacks of a future run in the store's writing thread: they must be short, and must not wait for the store.
Reading methods block the caller for one query, so the asyncio loop calls them in a thread; they raise StoreError when
the store can't be read, or is closed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

from router.domain.deliveries import Attempt, Claim, Delivery, PlannedDelivery, RulesetText, Settlement
from router.domain.events import Appended, Event
from router.domain.queries import Arrival, Depth, EndedPage, EventFilter, EventHead, Filter, Pruned, StreamPosition

PAGE = 500  #: rows that an operator's command may change in one transaction: the daemon's commits wait meanwhile
MAX_INTERRUPTIONS = 3  #: interrupted attempts in a row after which a delivery is dead: it may be what kills us

Due = Mapping[str, int]
"""By target: when the earliest of its pending, unblocked deliveries is due, ms."""


class Store(Protocol):
    """Events, deliveries, attempts and ruleset texts."""

    def append(
        self, event: Event, plan: Sequence[PlannedDelivery], ruleset: str, *, dedupe_window: int = 0
    ) -> "Future[Appended]":
        """Write an event and its planned deliveries, all pending and due at received_at, in one transaction.

        When the event has a dedupe key and dedupe_window (ms) is above zero, and an event of the same source with the
        same key planned a delivery within the window before received_at, nothing is written and the first event's id
        comes back as a duplicate. Two copies in one batch count too. An event that plans nothing doesn't bind its key.

        A delivery with an order key is blocked while an earlier one of the same (rule, action, key) is pending or
        running.
        """
        ...

    def put_ruleset(self, ruleset: RulesetText, now: int) -> "Future[None]":
        """Keep the text of the ruleset that is current from now on (ms), by its hash; keeping it twice is fine. Must
        precede appends that name it. `prune` removes the text once another one is current and no event is left that
        it planned."""
        ...

    def claim(self, wanted: Mapping[str, int], now: int, paced: Collection[str] = ()) -> "Future[list[Claim]]":
        """Claim up to wanted[target] due, unblocked deliveries of each target, the earliest due first, then by seq.

        Each claimed delivery becomes running with a fresh token, and a started attempt is written for it. For each
        target in `paced` that gave one, `now` becomes its `last_claims` in the same transaction.
        """
        ...

    def last_claims(self) -> dict[str, int]:
        """By target, when (ms) the newest claim was made in which it was paced; the newest 1,000 of them."""
        ...

    def settle(self, settlement: Settlement) -> "Future[bool]":
        """Finish the attempt; False when the token doesn't own the delivery any more: log and drop.

        A counted outcome adds one to `attempts`, sets first_attempt_at if it was unset and clears `interruptions`;
        an interrupted one adds one to `interruptions` only. A delivery that becomes succeeded or dead unblocks the next
        of its order key. A ruleset that the settlement names becomes the delivery's; its text has to be there already.
        """
        ...

    def settle_all(self, settlements: Sequence[Settlement]) -> "Future[list[bool]]":
        """Settle many in one transaction, as `settle` does; one that can't be stored fails all of them."""
        ...

    def release(self, claim: Claim) -> "Future[bool]":
        """Give a claim back unattempted: pending again as it was, its started attempt removed."""
        ...

    def refile(self, claim: Claim, target: str) -> "Future[bool]":
        """Give a claim back unattempted, under another target."""
        ...

    def due(self) -> Due:
        """What is pending and unblocked, in one quick look per target however many deliveries wait."""
        ...

    def on_due(self, listener: Callable[[Due], None]) -> None:
        """Call the listener from the store's thread after each commit that made deliveries pending and unblocked.

        Not for what was due before: ask `due` once the listener is set. An exception in it is logged, nothing more.
        """
        ...

    def event(self, event_id: str) -> Event | None:
        """One event."""
        ...

    def events(self, *, limit: int = 100, before: str | None = None) -> list[Event]:
        """Events, the newest first; `before` an event id, for the next page."""
        ...

    def event_heads(
        self,
        which: EventFilter = EventFilter(),  # noqa: B008 - immutable
        *,
        limit: int = 100,
        after: int = 0,
        newest_first: bool = False,
    ) -> list[EventHead]:
        """Events without their bodies by seq, in pages as `deliveries` gives them."""
        ...

    def count_events(self, which: EventFilter) -> int:
        """How many events there are of those."""
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
    ) -> list[Delivery]:
        """Deliveries by seq, those above `after`; or from the newest down, those below it (0: from the very newest)."""
        ...

    def count(self, which: Filter) -> int:
        """How many deliveries there are of those."""
        ...

    def replay(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """Make deliveries due at once, PAGE of them at the most; gives the ids of those that were.

        A settled one begins anew: no attempts counted, its retry policy's clock unset, and last in its order. A pending
        one that waits for its next try is only due earlier. A running one, or one that is blocked, is left alone.
        """
        ...

    def cancel(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """Cancel deliveries that are pending, running or dead, PAGE of them at the most; gives the ids of those that
        were. An attempt under way is not stopped, but its outcome is not recorded any more."""
        ...

    def plan_again(
        self, event_id: str, plan: Sequence[PlannedDelivery], ruleset: RulesetText, now: int
    ) -> "Future[bool]":
        """Add deliveries to an event that is there, due now and last in their order; False when it is not there.

        Their ids must be made now, not at the event's time: a filter by time finds deliveries by their ids.
        """
        ...

    def newest(self) -> StreamPosition:
        """The place after everything that there is: what is committed later comes after it."""
        ...

    def place_of(self, since: int) -> StreamPosition:
        """The place before all that was received, and among the ends that the store remembers all that ended, since
        then (ms)."""
        ...

    def arrivals(self, after: int, limit: int = PAGE) -> list[Arrival]:
        """Events after a Place's event, in the order of their commits; no place is used twice."""
        ...

    def ended(self, after: int, limit: int = PAGE) -> EndedPage:
        """Attempts whose ends come after a Place's, in the order of their commits, however those ends came about. The
        store remembers the last 100,000 at least."""
        ...

    def changes(self) -> int:
        """A number that is another one, for the same thread, once somebody else has committed; it costs next to
        nothing."""
        ...

    def depths(self) -> list[Depth]:
        """By target, the names in order: what waits, runs and is dead; targets with none of that are left out."""
        ...

    def put_note(self, name: str, value: str) -> "Future[None]":
        """Keep a word of the daemon about itself (JSON) for those who look at the store; the last of a name stays."""
        ...

    def notes(self) -> dict[str, str]:
        """Every note by name."""
        ...

    def prune(self, before: int, dead_before: int, after: int = 0) -> "Future[Pruned]":
        """Remove, in one small transaction, some events that were received before `before` (ms) and whose deliveries
        are all settled; those with a dead one only when they were received before `dead_before`. Looks at the events
        after that place only; `next_after` of the answer goes on from there.
        """
        ...

    def shorten_waits(self, now: int, after: int = 0) -> "Future[int | None]":
        """Make due, in one small transaction, some of what waits only because the clock was set back to `now` (ms): a
        pending delivery without a counted attempt since it was planned or replayed is due at once; one whose last
        attempt ended after `now` waits from `now` on for as long as it was to wait then. Gives the place after which
        to go on; none at the end.
        """
        ...

    def attempts(self, delivery_id: str) -> list[Attempt]:
        """Every attempt of a delivery, by number."""
        ...

    def ruleset(self, ruleset_hash: str) -> RulesetText | None:
        """One ruleset's text."""
        ...

    def ids_from(self, kind: Literal["event", "delivery"], beginning: str, limit: int) -> list[str]:
        """The ids that begin so, the newest first."""
        ...

    def recent_names(self) -> list[tuple[str, str, str, str]]:
        """(source, rule, action, target) of recent deliveries, each once; for an event without any, its source alone
        beside empty texts."""
        ...

    def waiting(self, rules: Iterable[str]) -> dict[str, int]:
        """By rule name: how many of its deliveries are pending or running; rules without any are left out."""
        ...

    def writable(self) -> bool:
        """Whether the last commit worked, none takes too long, and the writer is alive."""
        ...

    def close(self) -> None:
        """Commit what is queued, then release the store. Writes after it fail with StoreUnavailable, reads with
        StoreError."""
        ...
