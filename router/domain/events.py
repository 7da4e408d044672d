"""The nouns that every station shares: events, deliveries, attempts and their outcomes.

Times are Unix times in whole milliseconds, and arrive as arguments; durations are in the unit their name says.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from router.domain.headers import Headers
from router.domain.http import query_values

UNMATCHED = "unmatched"  #: the reserved rule name of the actions for events that no rule matched


@dataclass(frozen=True, slots=True)
class Event:
    """One received request, immutable; plain credentials are already taken out."""

    id: str  #: UUIDv7
    source: str
    method: str
    path: str
    query: str  #: raw, without the question mark
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ip: str
    received_at: int  #: ms
    dedupe_key: str | None = None  #: what a second copy of this event would share


@dataclass(frozen=True)
class ParsedEvent:
    """An event together with its parsed payload: what conditions and templates look at."""

    event: Event
    payload: Any = field(repr=False)  #: the JSON value, the form as a mapping, or the text
    form: bool = False  #: the payload is a form: its values are text, numbers included

    @cached_property
    def headers(self) -> Headers:
        """The event's headers."""
        return Headers(self.event.headers)

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Every query parameter with its values, in order, percent-decoded."""
        return query_values(self.event.query)


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer of the store to an append: committed and fsynced."""

    event_id: str  #: of the first event, when this one is a duplicate
    duplicate: bool = False
