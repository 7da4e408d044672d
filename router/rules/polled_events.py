"""The events of an answer to a poll."""

from router.domain.events import Event, ParsedEvent
from router.domain.ids import uuid7
from router.payload.body import Body, Format
from router.plugins.poll import PolledItem
from router.rules.parsing import Arriving, read_arriving
from router.rules.source import Source

_ADDRESS = "127.0.0.1"  #: the router itself made the request


def polled_event(source: Source, item: PolledItem, now: int) -> Event:
    """The event of an item, at `now` (ms)."""
    headers = (("Content-Type", item.content_type),) if item.content_type else ()
    return Event(uuid7(now), source.name, source.methods[0], source.path, "", headers, item.body, _ADDRESS, now)


def arriving_item(source: Source, item: PolledItem, event: Event) -> Arriving:
    """An item's event before it is redacted. Raises PayloadError."""
    if source.poll is not None and source.poll.has_items:  # it was parsed with its answer
        return Arriving(ParsedEvent(event, item.payload), Body(Format.JSON, item.payload))
    return read_arriving(event, source)
