"""From the new items of a page to the events of one transaction."""

from collections.abc import Sequence
from dataclasses import replace

from router.domain.events import Event, Routing
from router.domain.polls import PolledEvent
from router.intake.dedupe_key import dedupe_key_of
from router.plugins.poll import PolledItem
from router.rules.parsing import as_stored
from router.rules.polled_events import arriving_item
from router.rules.ruleset import Ruleset
from router.rules.source import Source

AT_ONCE = 500  #: items of one transaction; other commits wait for it
AT_ONCE_BYTES = 8 * 1024 * 1024  #: of their bodies, for the same reason as AT_ONCE


def planned(ruleset: Ruleset, source: Source, event: Event, item: PolledItem) -> PolledEvent:
    """What the rules plan for an event. Raises PayloadError when it can't be read, or can't be redacted as its source
    demands."""
    arriving = arriving_item(source, item, event)
    parsed = as_stored(arriving, source)
    plan, window = ruleset.plan(parsed), 0
    event = parsed.event
    if (key := dedupe_key_of(arriving.sent, parsed, source)) is not None and source.dedupe is not None:
        event, window = replace(event, dedupe_key=key), round(source.dedupe.window * 1000)
    return PolledEvent(event, plan.deliveries, Routing(ruleset.hash, plan.matched, plan.errors), window)


def pieces(items: Sequence[PolledItem]) -> "list[list[PolledItem]]":
    """The items of each transaction."""
    found: list[list[PolledItem]] = []
    size = 0
    for item in items:
        if not found or len(found[-1]) >= AT_ONCE or size + len(item.body) > AT_ONCE_BYTES:
            found.append([])
            size = 0
        found[-1].append(item)
        size += len(item.body)
    return found
