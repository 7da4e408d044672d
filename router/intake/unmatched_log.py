"""Log fields that say which rule came closest to an event without a match. The search is slow, so it is done rarely."""

from collections import Counter

from router.domain.events import Event, ParsedEvent
from router.rules.dry_run.nearest import nearest_rule
from router.rules.ruleset import Ruleset

EVERY_MS = 10_000  #: between two searches for one source; events between them are counted


class UnmatchedLog:
    """The time of the next search, by source. Any thread may call it; two calls at once may both log."""

    __slots__ = ("_next", "_unsaid")

    def __init__(self) -> None:
        self._next: dict[str, int] = {}  #: ms
        self._unsaid: Counter[str] = Counter()

    def is_due(self, event: Event) -> bool:
        """Whether `note` will search for the closest rule and so needs the payload."""
        return event.received_at >= self._next.get(event.source, 0)

    def note(self, ruleset: Ruleset, event: Event, parsed: ParsedEvent | None) -> dict[str, object]:
        """Log fields for an event that no rule matched. Without its payload the event is only counted."""
        if parsed is None or not self.is_due(event):
            self._unsaid[event.source] += 1
            return {}
        self._next[event.source] = event.received_at + EVERY_MS
        found = nearest_rule(ruleset, parsed)
        fields: dict[str, object] = (
            {"closest": found.rule, "fails": found.condition, "held": f"{found.held} of {found.of}"} if found else {}
        )
        return {**fields, "unmatched_since": self._unsaid.pop(event.source, 0)}
