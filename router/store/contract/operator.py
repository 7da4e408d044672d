"""An operator's work on a store, beside a running daemon or without one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.polls import PollResult
from router.store.contract.facts import Finding, Progress
from router.store.contract.reader import StoreReader


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
