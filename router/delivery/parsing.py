"""Parses stored events for attempts. An event with many items is parsed once for all their deliveries."""

from dataclasses import replace

from router.domain.errors import PayloadError, RenderError
from router.domain.events import Event, ParsedEvent
from router.rules.parsing import parse_event
from router.rules.source import Source

KEPT_BODY = 1024 * 1024  #: bytes; the payload takes many times the memory of its body


class EventParser:
    """Parses events, and caches the last one that has items. Any thread may call it."""

    def __init__(self) -> None:
        # Replaced as a whole, so that no thread sees parts of two events.
        self._last: tuple[str, Source | None, Source | None, ParsedEvent] | None = None

    def parse(self, event: Event, source: Source | None, planned: Source | None, *, has_item: bool) -> ParsedEvent:
        """The event with its payload by `source`, and the named parts of its path by that of the rules that `planned`.

        Raises RenderError.
        """
        last = self._last
        if last is not None and last[0] == event.id and last[1] is source and last[2] is planned:
            return last[3]
        parsed = _parsed(event, source, planned)
        if has_item and len(event.body) <= KEPT_BODY:
            self._last = (event.id, source, planned, parsed)
        return parsed


def _parsed(event: Event, source: Source | None, planned: Source | None) -> ParsedEvent:
    try:
        parsed = parse_event(event, source)
    except PayloadError as error:
        raise RenderError(f"the payload can't be parsed by the current settings of its source: {error}") from None
    if planned is None or planned is source or planned.pattern is None:
        return parsed
    return replace(parsed, params=planned.pattern.params(event.path))
