"""Plans stored events again under the current rules, so that a rule that was added or corrected later applies too."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.filters import EventFilter, Filter
from router.domain.ids import uuid7
from router.domain.own_events import is_own
from router.operate.patient_write import write_patiently
from router.operate.scan import NO_LIMIT, ScanPosition, WorkLimit
from router.operate.serialize import item_json
from router.rules.own_source import OWN_SOURCE
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset
from router.store.contract import PAGE, OperatorStore

_MOST_LOOKED_AT = 100_000  #: deliveries of one event that are read; an event plans 10,000 at once


@dataclass
class RerouteReport:
    """Which deliveries were planned, and which events got none, with the reason."""

    dry_run: bool
    planned: list[tuple[str, PlannedDelivery]] = field(default_factory=list)  #: with the event's id
    events: int = 0  #: number of events that got deliveries
    skipped: list[tuple[str, str]] = field(default_factory=list)  #: (event id, reason)
    missing: list[str] = field(default_factory=list)  #: ids of the request that the store does not have
    rest: ScanPosition | None = None  #: where to continue, if the work limit was reached before the end

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
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
                    **item_json(p.item, p.item_index),
                }
                for event_id, p in self.planned
            ],
            "skipped": [{"event": event_id, "reason": reason} for event_id, reason in self.skipped],
            "not_found": self.missing,
        }


@dataclass(frozen=True)
class Reroute:
    """One run that plans events again; fills the report."""

    store: OperatorStore
    ruleset: Ruleset
    report: RerouteReport
    now_ms: Callable[[], int]
    again: bool = False  #: also plan deliveries that an event already has
    advance: Callable[[int], None] = lambda _: None  #: called with 1 after each event
    limit: WorkLimit = NO_LIMIT
    again_syntax: str = "--again"  #: how a request says `again`, for the reasons in the report

    def by_ids(self, ids: Sequence[str]) -> None:
        """Plan these events again, the oldest first. Raises StoreError."""
        # An id begins with the event's time, so sorted ids are in the events' order.
        for event_id in sorted(set(ids)):
            if self.limit.is_over():
                self.report.skipped.append((event_id, "the time was over; try again"))
                continue
            event = self.store.event(event_id)
            if event is None:
                self.report.missing.append(event_id)
            else:
                self._plan(event)

    def by_filter(self, which: EventFilter, position: ScanPosition = ScanPosition()) -> None:  # noqa: B008 - immutable
        """Plan the events that match a filter now, from a position on, the oldest first. Raises StoreError."""
        for number, (seq, event_id, last) in enumerate(_matching(self.store, which, position)):
            if self.limit.reached(number):
                self.report.rest = ScanPosition(position.after, last)
                return
            event = self.store.event(event_id)
            if event is not None:  # it may have been pruned
                self._plan(event)
            position = ScanPosition(seq, last)

    def _plan(self, event: Event) -> None:
        report = self.report
        planned = self._new_deliveries(event)
        if isinstance(planned, str):
            report.skipped.append((event.id, planned))
        else:
            now = self.now_ms()
            planned = [replace(p, id=uuid7(now)) for p in planned]
            text = self.ruleset.text
            if report.dry_run or write_patiently(lambda: self.store.plan_again(event.id, planned, text, now)):
                report.events += 1
                report.planned += [(event.id, p) for p in planned]
            else:
                report.skipped.append((event.id, "it was pruned in the meantime"))
        self.advance(1)

    def _new_deliveries(self, event: Event) -> list[PlannedDelivery] | str:
        """The deliveries to add for an event, or why there are none."""
        planned = _plan(self.ruleset, event)
        if isinstance(planned, str) or self.again:
            return planned
        had = {
            (d.rule, d.action, d.item) for d in self.store.deliveries(Filter(event_id=event.id), limit=_MOST_LOOKED_AT)
        }
        planned = [p for p in planned if (p.rule, p.action, p.item) not in had]
        return planned or f"it has every delivery that these rules plan; {self.again_syntax} plans them again"


def _matching(store: OperatorStore, which: EventFilter, position: ScanPosition) -> Iterator[tuple[int, str, int]]:
    """(seq, id, seq of the newest at the beginning) of each event that matches. Events that arrive later are left
    out."""
    last = position.last
    if not last:
        newest = store.event_heads(which, limit=1, newest_first=True)
        last = newest[0].seq if newest else 0
    after = position.after
    while page := [event for event in store.event_heads(which, limit=PAGE, after=after) if event.seq <= last]:
        for event in page:
            yield event.seq, event.id, last
        after = page[-1].seq


def _plan(ruleset: Ruleset, event: Event) -> list[PlannedDelivery] | str:
    """The deliveries that the rules plan for an event, or why they plan none."""
    source = OWN_SOURCE if is_own(event) else ruleset.sources.get(event.source)
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
