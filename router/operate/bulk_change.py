"""Replays or cancels many deliveries, page by page, so that a running daemon can write in between."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from router.domain.deliveries import Delivery, State
from router.domain.filters import Filter
from router.domain.holds import Holds
from router.operate.delivery_operation import DeliveryOperation
from router.operate.patient_write import write_patiently
from router.operate.scan import NO_LIMIT, ScanPosition, WorkLimit
from router.store.contract import PAGE, OperatorStore


@dataclass
class ChangeReport:
    """Which deliveries were changed, and which were not and why."""

    operation: DeliveryOperation
    dry_run: bool
    done: list[Delivery] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  #: (id, reason)
    missing: list[str] = field(default_factory=list)  #: ids of the request that the store does not have
    rest: ScanPosition | None = None  #: where to continue, if the work limit was reached before the end

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "dry_run": self.dry_run,
            self.operation.past: len(self.done),
            "deliveries": [d.id for d in self.done],
            "skipped": [{"id": id_, "reason": reason} for id_, reason in self.skipped],
            "not_found": self.missing,
        }


@dataclass(frozen=True)
class BulkChange:
    """One replay or cancel of many deliveries; fills the report."""

    store: OperatorStore
    report: ChangeReport
    states: Sequence[State]  #: deliveries in other states stay unchanged
    now_ms: Callable[[], int]
    advance: Callable[[int], None] = lambda _: None  #: called with the number of deliveries of each page
    limit: WorkLimit = NO_LIMIT
    state_syntax: str = "--state {}"  #: how a request names a state, for the reasons in the report

    def by_ids(self, ids: Iterable[str]) -> None:
        """Change the deliveries with these ids, in the operation's order. Raises StoreError."""
        found: list[Delivery] = []
        for id_ in dict.fromkeys(ids):
            delivery = self.store.delivery(id_)
            if delivery is None:
                self.report.missing.append(id_)
            else:
                found.append(delivery)
        found.sort(key=lambda d: d.seq, reverse=self.report.operation.newest_first)
        for at in range(0, len(found), PAGE):
            if self.limit.is_over():
                self.report.skipped += [(d.id, "the time was over; try again") for d in found[at:]]
                return
            self._change_page(found[at : at + PAGE])

    def by_filter(self, which: Filter, position: ScanPosition = ScanPosition()) -> None:  # noqa: B008 - immutable
        """Change the deliveries that match a filter now, from a position on. Raises StoreError."""
        visited = 0
        for page, last in _pages(self.store, which, position, newest_first=self.report.operation.newest_first):
            if self.limit.reached(visited):
                self.report.rest = ScanPosition(position.after, last)
                return
            self._change_page(page)
            visited += len(page)
            position = ScanPosition(page[-1].seq, last)

    def _change_page(self, page: Sequence[Delivery]) -> None:
        to_change: list[Delivery] = []
        for delivery in page:
            reason = self._reason_to_skip(delivery)
            if reason is None:
                to_change.append(delivery)
            else:
                self.report.skipped.append((delivery.id, reason))
        if self.report.dry_run:
            self.report.done += to_change
        elif to_change:
            self._write(to_change)
        self.advance(len(page))

    def _write(self, deliveries: Sequence[Delivery]) -> None:
        ids = [d.id for d in deliveries]
        changed = write_patiently(lambda: self.report.operation.apply(self.store, ids, self.now_ms()))
        for d in deliveries:
            if d.id in changed:
                self.report.done.append(d)
                continue
            now = self.store.delivery(d.id)  # it changed between our read and our write
            reason = self._reason_to_skip(now) if now else "it was pruned in the meantime"
            self.report.skipped.append((d.id, reason or "it changed in the meantime"))

    def _reason_to_skip(self, delivery: Delivery) -> str | None:
        d = delivery
        hold = self._holds.of(d.target, d.rule, d.action, self.now_ms())
        return self.report.operation.reason_to_skip(d, self.states, self.state_syntax, hold)

    @cached_property
    def _holds(self) -> Holds:
        return self.store.holds()


def _pages(
    store: OperatorStore, which: Filter, position: ScanPosition, *, newest_first: bool
) -> Iterator[tuple[list[Delivery], int]]:
    """Pages of the deliveries that match a filter, each with the seq of the newest delivery at the beginning.

    Deliveries planned later are left out, and none comes twice, so the pages end.
    """
    last = position.last
    if not last:
        newest = store.deliveries(which, limit=1, newest_first=True)
        if not newest:
            return
        last = newest[0].seq
    after = position.after or (last + 1 if newest_first else 0)
    while page := store.deliveries(which, limit=PAGE, after=after, newest_first=newest_first):
        page = [d for d in page if d.seq <= last]
        if not page:
            return
        yield page, last
        after = page[-1].seq


def names_more_than_states(which: Filter) -> bool:
    """Whether a filter has any condition besides states."""
    return replace(which, states=()) != Filter()


def deliveries_of(store: OperatorStore, event_ids: Iterable[str], report: ChangeReport) -> list[str]:
    """The ids of these events' deliveries; unknown events go to the report as missing. Raises StoreError."""
    found: list[str] = []
    for event_id in dict.fromkeys(event_ids):
        ids = [d.id for d in store.deliveries(Filter(event_id=event_id), limit=10_000)]
        # Only without deliveries the event's row, which has the body, must be read to see whether it exists.
        if not ids and store.event(event_id) is None:
            report.missing.append(event_id)
        found += ids
    return found
