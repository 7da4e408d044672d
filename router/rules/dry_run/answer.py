"""Previews what the rules would do with a recorded answer to a poll. It sends, stores and executes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from router.domain.events import Event
from router.rules.dry_run.preview import Preview, preview
from router.rules.polled_events import polled_event
from router.rules.ruleset import Ruleset
from router.rules.source import Source


@dataclass(frozen=True, slots=True)
class PreviewedEvent:
    """One event of an answer."""

    event: Event
    shown: Preview

    def as_json(self) -> dict[str, Any]:
        """As `test --json` shows it."""
        return {"payload": self.event.body.decode(errors="replace"), **self.shown.as_json()}


def preview_answer(
    ruleset: Ruleset, source: Source, body: bytes, content_type: str | None, now: int, *, explained: bool = False
) -> list[PreviewedEvent]:
    """Preview the events of an answer, as if all its items were new. Raises PayloadError."""
    assert source.poll is not None
    events = [polled_event(source, item, now) for item in source.poll.read(body, content_type)]
    return [PreviewedEvent(event, preview(ruleset, event, arriving=True, explained=explained)) for event in events]


def together(ruleset: Ruleset, source: Source, shown: Sequence[Preview]) -> Preview:
    """Join the previews of all events of an answer: the rules that matched any of them, and every delivery."""
    matched = {name for one in shown for name in one.matched}
    reasons = {rule.rule: rule for one in reversed(shown) for rule in one.explained or ()}
    return Preview(
        tuple(rule.name for rule in ruleset.rules if rule.name in matched),
        tuple(delivery for one in shown for delivery in one.deliveries),
        tuple(error for one in shown for error in one.errors),
        tuple(reasons.values()),
        not source.enabled,
    )
