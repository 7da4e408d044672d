"""The daemon's work on its store: append, claim, settle, and maintenance."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from router.domain.deliveries import Claim, PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Appended, Event
from router.domain.groups import Skipped
from router.domain.holds import HoldName
from router.domain.own_events import Gathered, Notice
from router.domain.summaries import Pruned
from router.store.contract.facts import Due, StoreFaults
from router.store.contract.operator import OperatorStore
from router.store.fleet import Fleet


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
