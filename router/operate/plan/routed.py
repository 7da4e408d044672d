"""What one ruleset does with one event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.domain.errors import PayloadError
from router.domain.events import Event, ParsedEvent
from router.domain.items import Item
from router.domain.own_events import is_own
from router.rules.dry_run.preview import PreviewedDelivery, preview_delivery
from router.rules.own_source import OWN_SOURCE
from router.rules.parsing import parse_event
from router.rules.rule import Rule, RuleAction
from router.rules.ruleset import Ruleset
from router.rules.source import Source

DeliveryKey = tuple[str, str, str | None]
"""Rule, action, and the place of the item."""


@dataclass(frozen=True, slots=True)
class Routed:
    """The matched rules of an event, and its deliveries by their keys."""

    parsed: ParsedEvent | None  #: None: the event is not accepted
    matched: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    deliveries: Mapping[DeliveryKey, tuple[RuleAction, Item | None]] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()  #: the matched rules
    source: Source | None = None
    refusal: str = ""  #: why such a request would not become an event


def route(ruleset: Ruleset, event: Event, shared: "Routed | None" = None, shared_by: Source | None = None) -> Routed:
    """Route an event. `shared` is its routing by other rules, with its source; an equal source is parsed only once."""
    source = OWN_SOURCE if is_own(event) else ruleset.sources.get(event.source)
    if source is None:
        return Routed(None, refusal=f'there is no source "{event.source}"')
    if not source.enabled:
        return Routed(None, refusal=f'the source "{event.source}" is disabled')
    if shared is not None and shared.parsed is not None and shared_by is not None and _parses_alike(source, shared_by):
        parsed = shared.parsed
    else:
        try:
            parsed = parse_event(event, source)
        except PayloadError as error:
            return Routed(None, refusal=f"its payload can't be parsed: {error}")
    match = ruleset.match(parsed)
    planned = ruleset.planned(match)
    deliveries = {
        (action.rule, action.name, None if item is None else item.place): (action, item) for action, item in planned
    }
    return Routed(parsed, tuple([rule.name for rule in match.rules]), match.errors, deliveries, match.rules, source)


def _parses_alike(one: Source, other: Source) -> bool:
    return (
        one.json_field == other.json_field
        and one.parse == other.parse
        and one.is_signed == other.is_signed
        and (one.path if one.pattern else None) == (other.path if other.pattern else None)
    )


def rendered(ruleset: Ruleset, routed: Routed, key: DeliveryKey) -> PreviewedDelivery:
    """What a delivery would do; secrets by name."""
    assert routed.parsed is not None  # otherwise there are no deliveries
    action, item = routed.deliveries[key]
    # Both sides get the same id, so that lines and bodies don't differ only in the id.
    return preview_delivery(ruleset, action, routed.parsed, item, delivery_id=routed.parsed.event.id)


def facts_of(shown: PreviewedDelivery, base_dir: str) -> dict[str, Any]:
    """Where a delivery goes and what it does there, by field. Paths below the rules file's folder are relative to
    it."""
    facts: dict[str, Any] = {"type": shown.type, "target": shown.target, "order_key": shown.order_key}
    return facts | {name: _relative(value, base_dir) for name, value in (shown.does or {}).items()}


def _relative(value: Any, base_dir: str) -> Any:
    if isinstance(value, str):
        inner = value.removeprefix(base_dir.rstrip("/") + "/")
        return "." if value == base_dir else f"./{inner}" if inner != value else value
    return [_relative(one, base_dir) for one in value] if isinstance(value, list) else value


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[str]:
    """The fields whose values differ."""
    return [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
