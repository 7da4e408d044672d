"""Events: received requests, and their parsed payloads.

In all of router.domain, times are Unix times in whole milliseconds, passed as arguments. Durations are in the unit that
their name says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from router.domain.headers import Headers, no_headers
from router.domain.made_often import made_often
from router.domain.request import query_values

UNMATCHED = "unmatched"  #: the reserved rule name for the actions of events that matched no rule


@made_often
@dataclass(frozen=True, slots=True)
class Event:
    """One received request, immutable and without plain credentials."""

    id: str  #: UUIDv7
    source: str
    method: str
    path: str
    query: str  #: raw, without the question mark
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ip: str
    received_at: int  #: ms
    dedupe_key: str | None = None  #: equal for copies of the same event
    named: Headers = field(default_factory=no_headers, repr=False, compare=False)  #: the headers by name
    hidden_size: int | None = None  #: bytes of the body when its reader may not see it; None: the body is here

    @property
    def size(self) -> int:
        """The number of bytes of the body."""
        return len(self.body) if self.hidden_size is None else self.hidden_size

    def __post_init__(self) -> None:
        # Made once for all readers. A copy of the object with the same headers keeps it.
        if self.named.items_as_received is not self.headers:
            object.__setattr__(self, "named", Headers(self.headers))


@made_often
@dataclass(frozen=True)
class ParsedEvent:
    """An event with its parsed payload, for conditions and templates."""

    event: Event
    payload: Any = field(repr=False)  #: the JSON value, the form as a mapping, or the text
    form: bool = False  #: the payload is a form: its values are text, numbers included
    params: Mapping[str, str] | None = None  #: the named parts of the path; None if the source's path has none

    @property
    def headers(self) -> Headers:
        """The event's headers."""
        return self.event.named

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Every query parameter with its values, in order, percent-decoded."""
        return query_values(self.event.query)


@dataclass(frozen=True, slots=True)
class Routing:
    """What the rules said of an event when it was received."""

    ruleset: str  #: hash of the rules
    matched: tuple[str, ...] = ()  #: names of the rules that matched, in file order
    errors: tuple[tuple[str, str], ...] = ()  #: (rule, reason) of rules whose condition could not be evaluated


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in the store, and what the rules said of it."""

    seq: int  #: the store's commit order
    event: Event
    routing: Routing | None  #: None: a version that did not record it received the event


@made_often
@dataclass(frozen=True, slots=True)
class Appended:
    """The result of an append: committed and synced to disk."""

    event_id: str  #: of the first event, when this one is a duplicate
    duplicate: bool = False
