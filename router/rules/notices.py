"""Plans the router's own events by the rules that name `source: router`."""

from collections.abc import Mapping
from typing import Any

from router.domain.events import Event, Routing
from router.domain.own_events import Gathered, Notice, gathered_event, own_event
from router.rules.own_source import OWN_SOURCE
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset


def notice(ruleset: Ruleset, kind: str, subject: str, facts: Mapping[str, Any], now: int) -> Notice | None:
    """The notice of something that happened at `now` (ms); None when no rule listens to it."""
    return _planned(ruleset, kind, subject, own_event(kind, subject, facts, now)) if ruleset.hears_itself else None


def gathered_notice(ruleset: Ruleset, gathered: Gathered, now: int) -> Notice | None:
    """The notice about gathered happenings; None when no rule listens to it."""
    if not ruleset.hears_itself:
        return None
    return _planned(ruleset, gathered.kind, gathered.subject, gathered_event(gathered, now))


def _planned(ruleset: Ruleset, kind: str, subject: str, event: Event) -> Notice | None:
    plan = ruleset.plan(parse_event(event, OWN_SOURCE))
    if not plan.deliveries:
        return None
    return Notice(kind, subject, event, plan.deliveries, Routing(ruleset.hash, plan.matched, plan.errors))
