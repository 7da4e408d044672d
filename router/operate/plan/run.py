"""One plan: compares how two rulesets route the stored events that match a filter."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from router.domain.deliveries import RulesetText
from router.domain.events import StoredEvent
from router.domain.filters import EventFilter
from router.operate.event_pages import events_in_order, newest_seq
from router.operate.plan.changes import compare
from router.operate.plan.definitions import Definitions
from router.operate.plan.report import PlanReport
from router.operate.scan import NO_LIMIT, ScanPosition, WorkLimit
from router.rules.ruleset import Ruleset
from router.store.contract import StoreReader

_KEPT = 4  #: compiled rulesets of earlier times; events come in their order, so few are needed at once

Compile = Callable[[RulesetText], Ruleset | None]
"""Compiles a recorded text; None when it no longer compiles."""


@dataclass
class Plan:
    """Compares events by the rules `before` and `after`; fills the report. Reads only."""

    store: StoreReader
    after: Ruleset
    report: PlanReport
    before: Ruleset | None  #: None: the rules that routed each event
    compile: Compile  #: compiles those rules
    advance: Callable[[int], None] = lambda _: None  #: called with 1 after each event
    limit: WorkLimit = NO_LIMIT
    _pairs: OrderedDict[str, Definitions | str] = field(default_factory=OrderedDict)

    def run(self, which: EventFilter, position: ScanPosition = ScanPosition()) -> None:  # noqa: B008 - immutable
        """Compare the events that match a filter now, the oldest first, from a position on. Raises StoreError."""
        position = ScanPosition(position.after, position.last or newest_seq(self.store))
        for number, stored in enumerate(events_in_order(self.store, which, position)):
            if self.limit.reached(number):
                self.report.rest = position
                return
            self._compare(stored)
            self.advance(1)
            position = ScanPosition(stored.seq, position.last)

    def _compare(self, stored: StoredEvent) -> None:
        definitions = self._definitions(stored)
        if isinstance(definitions, str):
            self.report.add_not_compared(stored.event, definitions)
        else:
            self.report.add(stored.event, compare(stored.event, definitions))

    def _definitions(self, stored: StoredEvent) -> Definitions | str:
        if self.before is not None:
            key = ""
        elif stored.routing is None:
            return "a version that did not record its rules received it"
        else:
            key = stored.routing.ruleset
        found = self._pairs.get(key)
        if found is None:
            before = self.before or self._of_then(key)
            found = before if isinstance(before, str) else Definitions(before, self.after)
            self._pairs[key] = found
            if len(self._pairs) > _KEPT:
                self._pairs.popitem(last=False)
        self._pairs.move_to_end(key)
        return found

    def _of_then(self, ruleset_hash: str) -> Ruleset | str:
        text = self.store.ruleset(ruleset_hash)
        if text is None:
            return f"the store no longer has the rules {ruleset_hash[:12]} that it was routed by"
        ruleset = self.compile(text)
        return ruleset or f"the rules {ruleset_hash[:12]} that it was routed by no longer compile"
