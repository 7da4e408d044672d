"""Parses the payload of an event, with the settings of its source."""

from dataclasses import replace
from typing import NamedTuple

from router.domain.errors import PayloadError
from router.domain.events import Event, ParsedEvent
from router.payload.body import Body, honest_headers, read_declared, read_signed
from router.payload.redact.chosen import is_replaced
from router.rules.source import Source

_UNDECLARED = (None,)


def parse_event(event: Event, source: Source | None) -> ParsedEvent:
    """Parse a stored event, with any number of JSON values. Raises PayloadError."""
    return _parsed(event, read_event(event, source, bounded=False), source)


class Arriving(NamedTuple):
    """An event as it was sent, and its body as it was read."""

    sent: ParsedEvent
    read: Body


def read_arriving(event: Event, source: Source) -> Arriving:
    """Parse an arriving event, within all limits. Raises PayloadError.

    If a signed body is of another format than its Content-Type says, the header is corrected, so that no later reader,
    such as a target, is misled.
    """
    body = read_event(event, source, bounded=True)
    if source.is_signed:
        declared = event.named.by_name.get("content-type", ())
        headers = honest_headers(event.headers, declared, body.format, event.body)
        event = event if headers is event.headers else replace(event, headers=headers)
    return Arriving(_parsed(event, body, source), body)


def as_stored(arriving: Arriving, source: Source) -> ParsedEvent:
    """The event as it is stored, without what its source redacts. Rules and templates see only this.

    Raises PayloadError when the values to redact can't be found.
    """
    if source.redact is None:
        return arriving.sent
    event, chosen = source.redact.event(arriving.sent.event, arriving.read, source)
    if event == arriving.sent.event:
        return arriving.sent
    read = arriving.read if event.body == arriving.sent.event.body else read_event(event, source, bounded=True)
    if read.format is not arriving.read.format or not is_replaced(read.payload, chosen):
        raise PayloadError("the body is written in a way in which nothing can be redacted")
    return _parsed(event, read, source)


def parse_arriving(event: Event, source: Source) -> ParsedEvent:
    """An arriving event as it is stored. Raises PayloadError."""
    return as_stored(read_arriving(event, source), source)


def _parsed(event: Event, body: Body, source: Source | None) -> ParsedEvent:
    if source is None or source.pattern is None:
        return ParsedEvent(event, body.payload, body.texts)
    return ParsedEvent(event, body.payload, body.texts, source.pattern.params(event.path))


def read_event(event: Event, source: Source | None, *, bounded: bool) -> Body:
    """Read the body of an event, with the settings of its source. Raises PayloadError."""
    declared = event.named.by_name.get("content-type", _UNDECLARED)[0]
    if source is None:
        return read_declared(event.body, declared, bounded=bounded)
    read = read_signed if source.is_signed else read_declared
    return read(event.body, declared, json_field=source.json_field, parse=source.parse, bounded=bounded)
