"""What is known of a polled source from one poll to the next, and what a poll stores."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields

import orjson

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event, Routing

KEPT_IDS_MS = 7 * 86_400_000  #: how long an item's id is remembered after a poll last saw it
REFRESH_MS = KEPT_IDS_MS // 14  #: until an unchanged answer is read again, so that its ids stay remembered


@dataclass(frozen=True, slots=True)
class PollState:
    """What is known of one polled source. It is written with the events of its answer, in one transaction."""

    source: str
    series: str  #: the ids of its items belong to this; it changes when the source starts anew
    token: str  #: changes with each write
    fingerprint: str = ""  #: of url, items and id
    started: bool = False  #: the first poll is complete: later items are new
    cursor: str | None = None
    cursor_of: str = ""  #: where the cursor comes from, as in the rules
    next: str | None = None  #: the page to continue with
    candidate: str | None = None  #: the cursor to use when there are no further pages
    etag: str | None = None
    modified: str | None = None  #: Last-Modified of the answer
    digest: str | None = None  #: of the answer
    refreshed_at: int = 0  #: ms, when an answer was last read as a whole
    polled_at: int = 0  #: ms, when the last poll ended
    succeeded_at: int = 0  #: ms, when the last poll without a failure ended
    next_at: int = 0  #: ms
    failures: int = 0  #: failed polls since the last success
    failing_since: int = 0  #: ms; 0: it does not fail
    error: str = ""  #: why the last poll failed
    told: bool = False  #: an event has reported that it fails
    events: int = 0  #: events that it gave since it started

    def as_text(self) -> str:
        """All but the parts that the store keeps in columns of their own."""
        return orjson.dumps({name: value for name, value in asdict(self).items() if name not in _COLUMNS}).decode()

    @classmethod
    def from_text(cls, source: str, series: str, token: str, text: str) -> "PollState":
        """The state of a row. What a newer version added is left out."""
        found = {name: value for name, value in orjson.loads(text).items() if name in _IN_TEXT}
        return cls(source, series, token, **found)


_COLUMNS = frozenset({"source", "series", "token"})
_IN_TEXT = frozenset(one.name for one in fields(PollState)) - _COLUMNS


@dataclass(frozen=True, slots=True)
class PolledEvent:
    """An event of a poll, with what the rules plan for it."""

    event: Event
    plan: Sequence[PlannedDelivery]
    routing: Routing
    dedupe_window: int = 0  #: ms


@dataclass(frozen=True, slots=True)
class PollResult:
    """What one write of a poll stores."""

    before: str  #: the token that the stored state must have; empty: there must be none
    state: PollState
    seen: Sequence[str] = ()  #: ids of items that were in the answer
    events: Sequence[PolledEvent] = field(default=())
    whole: bool = False  #: the answer was read to its end: ids that were not seen for long can be forgotten
    now: int = 0  #: ms
    ruleset: RulesetText | None = None  #: of a command, whose rules may run in no daemon; recorded for its events


def item_id(values: object) -> str:
    """The id of an item as the store has it: a hash of JSON. `1` and `"1"` differ."""
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
