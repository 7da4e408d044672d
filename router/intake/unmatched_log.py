"""Which rule came closest to an event that none matched: looked for seldom, so that a busy sender costs nothing."""

from collections import Counter

from router.domain.events import Event, ParsedEvent
from router.rules.dry_run.nearest import nearest_rule
from router.rules.ruleset import Ruleset

EVERY_MS = 10_000  #: between two such answers on one source; the events between are counted


class UnmatchedLog:
    """What was said, by source. Any thread may call it; two that come at once may both be heard."""

    __slots__ = ("_next", "_unsaid")

    def __init__(self) -> None:
        self._next: dict[str, int] = {}  #: ms
        self._unsaid: Counter[str] = Counter()

    def is_due(self, event: Event) -> bool:
        """Whether more than a count would be made of an event: only then `note` needs its payload."""
        return event.received_at >= self._next.get(event.source, 0)

    def note(self, ruleset: Ruleset, event: Event, parsed: ParsedEvent | None) -> dict[str, object]:
        """What the line of an event that matched no rule says of it; without its payload it is only counted."""
        if parsed is None or not self.is_due(event):
            self._unsaid[event.source] += 1
            return {}
        self._next[event.source] = event.received_at + EVERY_MS
        found = nearest_rule(ruleset, parsed)
        fields: dict[str, object] = (
            {"closest": found.rule, "fails": found.condition, "held": f"{found.held} of {found.of}"} if found else {}
        )
        return {**fields, "unmatched_since": self._unsaid.pop(event.source, 0)}
