"""The contract of every store, in protocols: its state, reading, an operator's commands, and the daemon's work.

Any thread may call a store. Methods that write return a future at once. Its result means: committed and durable.

A future fails with StoreUnavailable when the commit could not be made (no room, no connection, too many writes queued,
closed). The caller may try again. If only the answer was lost, the write may have been made: an append is recognized by
its event's id, a settlement by its token and time, a claim by its token. A row that can't be stored fails alone, with
StoreError.

Callbacks of a future run in the store's writing thread. They must be short, and must not wait for the store.

Methods that read block the caller for one query, so an asyncio loop calls them in a thread. They raise StoreError when
the store is closed or can't be read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from router.domain.activity import Bucket, RecentMatches
from router.domain.deliveries import Attempt, Claim, Delivery, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Appended, Event, Routing, StoredEvent
from router.domain.filters import EventFilter, Filter
from router.domain.groups import Skipped
from router.domain.holds import HoldName, Holds
from router.domain.own_events import Gathered, Notice
from router.domain.polls import PollResult, PollState
from router.domain.stream import Arrival, EndedPage, Place, StreamPosition
from router.domain.summaries import Depth, EventHead, Pruned
from router.store.fleet import Fleet, NodeState
from router.store.search_back import FoundBack

PAGE = 500  #: rows that an operator's command may change in one transaction; the daemon's commits wait for it
#: interrupted attempts in a row after which a delivery is dead: the delivery itself may kill the daemon
MAX_INTERRUPTIONS = 3

Due = Mapping[str, int]
"""By target: the time (ms) at which the first of its pending, unblocked deliveries is due."""

CommitListener = Callable[[int, float], None]
"""Called by the writing thread after each transaction with the number of jobs in it and its duration in seconds.
It must be short, and must not raise."""

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is to do."""


@dataclass(frozen=True, slots=True)
class StoreSize:
    """The disk space of a store."""

    data: int  #: bytes of events, deliveries and their indexes
    log: int  #: bytes of a log of its own; 0: it has none
    free: int | None  #: bytes free on the store's disk; None: unknown to this process


@dataclass(frozen=True, slots=True)
class StoreFaults:
    """Failed writes of a store since the daemon started."""

    errors: int = 0  #: transactions that failed, or whose answer was lost
    deadlocks: int = 0  #: transactions that were repeated because another one was in the way


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check of the store."""

    name: str  #: the condition that must hold, in words
    broken: int  #: number of violations; 0 when it holds
    examples: tuple[str, ...]  #: the first violations
    cure: str


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

    def count_events(self, which: EventFilter) -> int:
        """The number of events that the filter selects."""
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


class Upkeep(Protocol):
    """Maintenance that an operator starts: check and backup."""

    def check(self, progress: Progress) -> Iterator[Finding]:
        """Check the store without changing it. Returns a finding for each check, broken or not. Raises StoreError."""
        ...

    def backup(self, copy: Path, progress: Progress) -> int:
        """Write the store's current state to a new file. Returns the file's size in bytes. Raises StoreError."""
        ...


class OperatorStore(StoreReader, Upkeep, Protocol):
    """What an operator may do, beside a running daemon or without one.

    Each write is one transaction. A running daemon notices it by itself, within a second.
    """

    def replay(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """Make deliveries due at once, at most PAGE of them. Returns the ids of those that became due.

        A settled delivery starts again: with no counted attempts, a new retry deadline, last in its order, and outside
        its group (it skips nothing, nothing skips it, and no newer one waits for it). A pending delivery that waits for
        a time becomes due now, and stays in its group. Running and blocked deliveries stay unchanged.
        """
        ...

    def cancel(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """Cancel deliveries that are pending, running or dead, at most PAGE of them. Returns the ids of the cancelled
        ones.

        A running attempt continues, but its outcome is not recorded. A newer delivery of its latest_by value begins,
        and the next one of its once_by value becomes the first.
        """
        ...

    def plan_again(
        self, event_id: str, plan: Sequence[PlannedDelivery], ruleset: RulesetText, now: int
    ) -> "Future[bool]":
        """Add deliveries to a stored event: due now, last in their order and outside their groups. False when the event
        is not stored.

        Their ids must be made now, not at the event's time: a filter by time finds deliveries by their ids.
        """
        ...

    def pause(self, target: str, until: int | None, now: int) -> "Future[None]":
        """Pause a target until `resume`, or until this time (ms). A paused target gets the new end."""
        ...

    def resume(self, target: str, now: int) -> "Future[bool]":
        """End a pause by `pause`. False when there is none. A pause by the rules file stays."""
        ...

    def hold_poll(self, source: str) -> Callable[[], None] | None:
        """Begin to poll a source. Returns the function that ends the poll; None while another process of this machine
        polls it."""
        ...

    def take_poll(self, result: PollResult) -> "Future[bool]":
        """Store a poll in one transaction: its state, the ids that it saw, and its events with their planned
        deliveries, each as by `append`.

        False, and nothing is written, when the stored state has another token than `before`: another process polled
        meanwhile. A poll that is stored twice, since an answer was lost, counts once. Ids of other series are forgotten
        in steps. Once a whole answer was read, so are ids of this series that were not seen for KEPT_IDS_MS.
        """
        ...


class EventSink(Protocol):
    """Takes events from the intake: a store, or a connection to one."""

    def append(
        self,
        event: Event,
        plan: Sequence[PlannedDelivery],
        ruleset: str,
        *,
        matched: Sequence[str] = (),
        errors: Sequence[tuple[str, str]] = (),
        dedupe_window: int = 0,
    ) -> "Future[Appended]":
        """Write an event and its planned deliveries in one transaction. The deliveries are pending and due at
        received_at.

        The ruleset's hash is stored too, with the names of the rules that matched, and (rule, reason) of those that
        could not be evaluated.

        Duplicates: an event is one when it has a dedupe key, dedupe_window (ms) is above zero, and an event of the same
        source with the same key planned a delivery within the window before received_at. Nothing is written for a
        duplicate, and the first event's id is returned. Copies in one batch count too. An event that plans nothing
        doesn't reserve its key.

        Order: a delivery with an order key is blocked while an earlier one of the same (rule, action, key) is pending
        or running.

        Groups: deliveries of the same (rule, action, key) that were not replayed, in the order of their commits, those
        of one event in the order of the plan.

        A delivery with a `Latest` group skips the group's pending delivery, which may wait for a retry or be held. It
        is blocked while an attempt at an earlier one is under way. So a group has at most one pending and one running
        delivery. With a wait it is due wait_ms after received_at. It is due no later than max_wait_ms after the first
        delivery since the last claim of the group, and never before received_at.

        A delivery with a `Once` group is skipped when the group has a first delivery that was received less than
        within_ms before or after received_at. Otherwise it becomes the first. A dead or cancelled delivery stops being
        the first; a pruned one stays it.

        When a delivery is skipped, the next one of its order key is unblocked.
        """
        ...


class Store(EventSink, OperatorStore, Protocol):
    """What the daemon that owns a store does: append, claim, settle, and maintenance."""

    def append(
        self,
        event: Event,
        plan: Sequence[PlannedDelivery],
        ruleset: str,
        *,
        matched: Sequence[str] = (),
        errors: Sequence[tuple[str, str]] = (),
        dedupe_window: int = 0,
        reserved: Mapping[str, int] | None = None,
    ) -> "Future[Appended]":
        """See EventSink.append.

        `reserved` has delays in ms by delivery id. For that long after received_at only `claim_one` returns the
        delivery, which counts as waiting, like one with a wait.
        """
        ...

    def put_ruleset(self, ruleset: RulesetText, now: int) -> "Future[None]":
        """Record the text of the ruleset that is current from this time (ms) on, by its hash. The same text may be
        recorded again.

        The text must be recorded before an append names it. `prune` removes it when another ruleset is current and no
        event is left that it planned.
        """
        ...

    def claim(self, wanted: Mapping[str, int], now: int, recorded: Collection[str] = ()) -> "Future[list[Claim]]":
        """Claim up to wanted[target] due, unblocked deliveries of each target, the earliest due first, then by seq.

        Each claimed delivery becomes running with a new token, and a started attempt is written for it. For each target
        in `recorded` with a claimed delivery, `now` becomes its `last_claims` in the same transaction.
        """
        ...

    def claim_one(self, delivery_id: str, now: int, recorded: Collection[str] = ()) -> "Future[Claim | None]":
        """Claim a pending, unblocked delivery, whatever it waits for, like `claim` does.

        None when it is blocked or not pending. Its reservation is then over, as after `unreserve`.
        """
        ...

    def unreserve(self, delivery_id: str, now: int) -> "Future[None]":
        """End the reservation of a delivery. If it is pending, it becomes due at `now`, and any node may claim it."""
        ...

    def last_claims(self) -> dict[str, int]:
        """By target: when (ms) a claim with the target in `recorded` last returned a delivery. The newest 1,000
        targets."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> "Future[list[State | None]]":
        """Finish attempts in one transaction. Returns the deliveries' new states; None for one whose token no longer
        owns its delivery: log and drop it.

        A counted outcome adds one to `attempts`, sets first_attempt_at if it was unset and clears `interruptions`. An
        interrupted one only adds one to `interruptions`. A delivery that succeeds or dies unblocks the next of its
        order key.

        A delivery that would become pending or dead while a newer one of its latest_by value is pending is skipped
        instead. In every case that newer one is unblocked.

        A ruleset that the settlement names becomes the delivery's; its text must be recorded already. The notices of a
        settlement that counts are stored in the same transaction, as by `tell`; the notice of a dead delivery is
        dropped if the delivery is skipped instead.

        If one settlement can't be stored, all fail.
        """
        ...

    def release(self, claim: Claim, *, held: bool = False) -> "Future[bool]":
        """Give a claim back without an attempt: the delivery is pending as before, and its started attempt is removed.

        With `held` it is marked as by `mark_held`. It is skipped instead when a newer one of its latest_by value is
        pending, as in `settle`.
        """
        ...

    def refile(self, claim: Claim, target: str) -> "Future[bool]":
        """Give a claim back without an attempt, under another target. It is skipped when `release` would skip it."""
        ...

    def due(self, types: Collection[str] = ()) -> Due:
        """The pending, unblocked deliveries; only of these action types if any are given. One quick look-up for each
        target, however many deliveries wait."""
        ...

    def on_due(self, listener: Callable[[Due], None]) -> None:
        """Call the listener from the store's thread after each commit that made deliveries pending and unblocked.

        Call `due` after setting the listener, since deliveries that were due before are not reported. An exception in
        the listener is only logged.
        """
        ...

    def on_skipped(self, listener: Callable[[Sequence[Skipped]], None]) -> None:
        """Call the listener from the store's thread after each commit of this process that skipped deliveries, each
        once. It must be short. An exception in it is only logged."""
        ...

    @property
    def fleet(self) -> Fleet | None:
        """The nodes that share this store; None for a store that one daemon owns alone."""
        ...

    def changed_by_others(self, *, alone: bool) -> None:
        """Another node or a command changed something: read everything again. `alone`: no other node adds
        deliveries."""
        ...

    def on_holds(self, listener: Callable[[], None]) -> None:
        """Call the listener from the store's thread when `holds` may have changed, by any process. It must be short,
        and must not raise."""
        ...

    def put_file_holds(self, names: Collection[HoldName], now: int) -> "Future[None]":
        """Store all holds of the rules file, valid from this time (ms) on."""
        ...

    def mark_held(self, rule: str, action: str | None, after: int = 0) -> "Future[int | None]":
        """Mark, in one small transaction, some pending deliveries of a disabled rule, or of one of its actions.

        Claims skip marked deliveries without reading each. Returns the `after` of the next call; None at the end.
        """
        ...

    def mark_ids(self, delivery_ids: Sequence[str]) -> "Future[None]":
        """Mark those of these deliveries that are pending."""
        ...

    def marked_actions(self) -> list[tuple[str, str]]:
        """(rule, action) of all marked deliveries."""
        ...

    def let_go(self, rule: str, action: str) -> "Future[bool]":
        """Unmark some deliveries of an action, in one small transaction. True: there may be more."""
        ...

    def put_note(self, name: str, value: str) -> "Future[None]":
        """Store a note of the daemon about itself (JSON), for other readers of the store. A new note replaces the last
        of its name."""
        ...

    def tell(self, notice: Notice) -> "Future[bool]":
        """Store a notice's event with its planned deliveries, or gather the notice. False: it was gathered.

        A notice becomes an event when none of its kind and subject did in the GATHER_MS before it. Otherwise only its
        payload and the number of such notices are kept, for `gathered`. Of two in one transaction the second is
        gathered.
        """
        ...

    def gathered(self, now: int) -> list[Gathered]:
        """By kind and subject: the gathered notices whose last event was GATHER_MS before `now` (ms) or earlier; with a
        count of 0 where there are none.

        Includes the notices that the store itself made for deliveries that died with their owner.
        """
        ...

    def tell_gathered(self, gathered: Gathered, notice: Notice | None, now: int) -> "Future[bool]":
        """Report gathered notices: store the notice's event with its planned deliveries, and start to gather again at
        `now` (ms).

        None: forget them. False, and nothing changes, when more was gathered since it was read, or another node has
        reported them.
        """
        ...

    def forget_polls(self, sources: Sequence[str]) -> "Future[None]":
        """Forget polled sources. Each call also removes some of their ids."""
        ...

    def prune(self, before: int, dead_before: int, after: int = 0, *, source: str | None = None) -> "Future[Pruned]":
        """Remove, in one small transaction, some events that were received before `before` (ms) and whose deliveries
        are all settled.

        Events with a dead delivery must have been received before `dead_before`. Only events with a seq above `after`
        are examined, and only those of `source` if it is given. The next call continues at `next_after` of the result.
        """
        ...

    def shorten_waits(self, now: int, after: int = 0) -> "Future[int | None]":
        """Correct, in one small transaction, some waits that are too long because the clock was set back to `now` (ms).

        A pending delivery without a counted attempt since it was planned or replayed becomes due at once. One that
        waits by its group since a time after `now` waits from `now` on, at most its max_wait_ms. A delivery whose last
        attempt ended after `now` waits from `now` on, as long as it was to wait then. Returns the `after` of the next
        call; None at the end.
        """
        ...

    @property
    def alive(self) -> bool:
        """Whether the writing thread runs, even if a full disk makes every commit fail."""
        ...

    def faults(self) -> StoreFaults:
        """The failures so far."""
        ...

    def writable(self) -> bool:
        """Whether the last commit worked, the current one doesn't take too long, and the writing thread runs."""
        ...
