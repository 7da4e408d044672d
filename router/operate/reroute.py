"""Plan events again under the rules as they are now, so that a rule that was written or mended later catches them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.domain.ids import uuid7
from router.operate.bulk_change import UNBOUNDED, ScanPosition, WorkLimit, written
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset
from router.store.contract import PAGE, OperatorStore


@dataclass
class RerouteReport:
    """What was planned, and for which events nothing was and why."""

    dry_run: bool
    planned: list[tuple[str, PlannedDelivery]] = field(default_factory=list)  #: with the event's id
    events: int = 0  #: that got deliveries
    skipped: list[tuple[str, str]] = field(default_factory=list)  #: (event id, why)
    missing: list[str] = field(default_factory=list)  #: named, but not there
    rest: ScanPosition | None = None  #: where to go on, when a bound was reached before the end

    def as_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {
            "dry_run": self.dry_run,
            "planned": [
                {
                    "event": event_id,
                    "id": None if self.dry_run else p.id,
                    "rule": p.rule,
                    "action": p.action,
                    "type": p.type,
                    "target": p.target,
                    "order_key": p.order_key,
                }
                for event_id, p in self.planned
            ],
            "skipped": [{"event": event_id, "reason": reason} for event_id, reason in self.skipped],
            "not_found": self.missing,
        }


@dataclass(frozen=True)
class Reroute:
    """One planning-again on a store."""

    store: OperatorStore
    ruleset: Ruleset
    report: RerouteReport
    now_ms: Callable[[], int]
    again: bool = False  #: also what an event has a delivery of already
    advance: Callable[[int], None] = lambda _: None  #: told of each step forward
    bound: WorkLimit = UNBOUNDED
    saying: str = "--again"  #: how the asker says `again`

    def named(self, ids: Sequence[str]) -> None:
        """Plan those events again, the oldest first. Raises StoreError."""
        # An id begins with its time, so that the ids' order is the events'.
        for event_id in sorted(set(ids)):
            if self.bound.is_over():
                self.report.skipped.append((event_id, "time was up; ask for it again"))
                continue
            event = self.store.event(event_id)
            if event is None:
                self.report.missing.append(event_id)
            else:
                self._plan(event)

    def found(self, which: EventFilter, place: ScanPosition = ScanPosition()) -> None:  # noqa: B008 - immutable
        """Plan what a filter finds now, or what is left of it after a place, the oldest first. Raises StoreError."""
        for number, (seq, event_id, last) in enumerate(_found_now(self.store, which, place)):
            if self.bound.reached(number):
                self.report.rest = ScanPosition(place.after, last)
                return
            event = self.store.event(event_id)
            if event is not None:  # not pruned meanwhile
                self._plan(event)
            place = ScanPosition(seq, last)

    def _plan(self, event: Event) -> None:
        report = self.report
        planned = self._planned(event)
        if isinstance(planned, str):
            report.skipped.append((event.id, planned))
        else:
            now = self.now_ms()
            planned = [replace(p, id=uuid7(now)) for p in planned]
            text = self.ruleset.text
            if report.dry_run or written(lambda: self.store.plan_again(event.id, planned, text, now)):
                report.events += 1
                report.planned += [(event.id, p) for p in planned]
            else:
                report.skipped.append((event.id, "it was pruned meanwhile"))
        self.advance(1)

    def _planned(self, event: Event) -> list[PlannedDelivery] | str:
        """What to plan for an event, or why nothing."""
        planned = _planned(self.ruleset, event)
        if isinstance(planned, str) or self.again:
            return planned
        had = {(d.rule, d.action) for d in self.store.deliveries(Filter(event_id=event.id), limit=10_000)}
        planned = [p for p in planned if (p.rule, p.action) not in had]
        return planned or f"it has every delivery that these rules plan; {self.saying} plans them once more"


def _found_now(store: OperatorStore, which: EventFilter, place: ScanPosition) -> Iterator[tuple[int, str, int]]:
    """(seq, id, seq of the newest that is meant): what comes in meanwhile is not among them."""
    last = place.last
    if not last:
        newest = store.event_heads(which, limit=1, newest_first=True)
        last = newest[0].seq if newest else 0
    after = place.after
    while heads := [h for h in store.event_heads(which, limit=PAGE, after=after) if h.seq <= last]:
        for head in heads:
            yield head.seq, head.id, last
        after = heads[-1].seq


def _planned(ruleset: Ruleset, event: Event) -> list[PlannedDelivery] | str:
    """What the rules plan for an event, or why they plan nothing."""
    source = ruleset.sources.get(event.source)
    if source is None:
        return f"these rules have no source {event.source}"
    try:
        plan = ruleset.plan(parse_event(event, source))
    except PayloadError as error:
        return f"its payload can't be parsed: {error}"
    if plan.deliveries:
        return list(plan.deliveries)
    if plan.errors:
        rule, reason = plan.errors[0]
        return f"no rule matches; rule {rule} could not be judged: {reason}"
    return "no rule matches"
