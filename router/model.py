"""The nouns that every station shares: events, deliveries, attempts and their outcomes.

Times are Unix times in whole milliseconds, and arrive as arguments; durations are in the unit their name says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

_PHRASES = {int(status): status.phrase for status in HTTPStatus}
UNMATCHED = "unmatched"  #: the reserved rule name of the actions for events that no rule matched


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  #: due at next_attempt_at, or blocked by order
    RUNNING = "running"  #: claimed by a dispatcher
    SUCCEEDED = "succeeded"
    DEAD = "dead"  #: gave up; stays until it is replayed, cancelled or pruned
    CANCELLED = "cancelled"  #: by an operator


class OutcomeKind(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"  #: failed and may heal; the retry policy decides by its cause
    FAILED = "failed"  #: failed, and another try would fail as well, or the policy wants none
    INTERRUPTED = "interrupted"  #: the daemon stopped under it; not counted


class Cause(StrEnum):
    """What an attempt failed by. All but status, exit and fault are words of `retry.on`."""

    STATUS = "status"  #: the answer's HTTP status
    NETWORK = "network"  #: no connection, or one that broke or spoke nonsense before there was an answer
    TIMEOUT = "timeout"  #: not done in time
    EXIT = "exit"  #: the program's exit code
    SIGNAL = "signal"  #: a signal ended the program
    NOT_STARTED = "not-started"  #: the program could not be started
    NOT_WRITTEN = "not-written"  #: the file could not be opened or written
    FAULT = "fault"  #: a fault of ours, which is always tried again


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: a value, not an exception."""

    kind: OutcomeKind
    error: str = ""  #: why it did not succeed; never a secret, a query string or the payload
    status: int | None = None  #: HTTP status or exit code (negative: the signal that ended it)
    excerpt: str = ""  #: the beginning of the response body or of the command's output
    retry_after: float | None = None  #: seconds that the target asked us to wait
    cause: Cause | None = None  #: what a retry failed by; none otherwise

    @classmethod
    def succeeded(cls, status: int | None = None, excerpt: str = "") -> "Outcome":
        """It worked."""
        return cls(OutcomeKind.SUCCEEDED, status=status, excerpt=excerpt)

    @classmethod
    def retry(
        cls,
        error: str,
        status: int | None = None,
        excerpt: str = "",
        retry_after: float | None = None,
        *,
        cause: Cause = Cause.FAULT,
    ) -> "Outcome":
        """It failed and may heal."""
        return cls(OutcomeKind.RETRY, error, status, excerpt, retry_after, cause)

    @classmethod
    def failed(cls, error: str, status: int | None = None, excerpt: str = "") -> "Outcome":
        """It failed for good."""
        return cls(OutcomeKind.FAILED, error, status, excerpt)

    @classmethod
    def interrupted(cls, error: str) -> "Outcome":
        """It was cut off by our own stop; nobody knows how far it came."""
        return cls(OutcomeKind.INTERRUPTED, error)


class Headers(Mapping[str, str]):
    """Request headers: names without case, several values for a repeated name, order kept.

    As a mapping it gives the first value of a name, and iterates over the names as they arrived.
    """

    __slots__ = ("by_name", "items_as_received")

    def __init__(self, items: tuple[tuple[str, str], ...]) -> None:
        self.items_as_received = items
        self.by_name: dict[str, list[str]] = {}  #: lower-case names, with all values
        for name, value in items:
            lower = name.lower()
            if lower in self.by_name:
                self.by_name[lower].append(value)
            else:
                self.by_name[lower] = [value]

    def __getitem__(self, name: str) -> str:
        return self.by_name[name.lower()][0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.by_name

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self.items_as_received:
            if name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def __len__(self) -> int:
        return len(self.by_name)

    def all(self, name: str) -> list[str]:
        """Every value of the header, in the order received."""
        return list(self.by_name.get(name.lower(), ()))


@dataclass(frozen=True, slots=True)
class Inbound:
    """One HTTP request as it reached the intake, before anything was believed about it."""

    source: str
    method: str
    path: str
    query: str  #: raw, without the question mark
    headers: tuple[tuple[str, str], ...]  #: in the order received
    body: bytes
    ip: str  #: the sender's address
    received_at: int  #: ms


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a sender."""

    status: int
    body: bytes
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def status_line(self) -> str:
        """For example `202 Accepted`."""
        return f"{self.status} {_PHRASES.get(self.status, 'Status')}"


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


def query_values(query: str) -> dict[str, list[str]]:
    """A raw query's parameters with their values, in order, percent-decoded."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One delivery that matching planned; it becomes a Delivery when it is appended."""

    id: str  #: UUIDv7
    rule: str
    action: str
    type: str  #: forward, command or append
    target: str  #: whose limits it counts against
    order_key: str | None = None  #: canonical JSON of order_by's values; none: unordered


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one action of one rule."""

    id: str
    seq: int  #: the store's commit order
    event_id: str
    rule: str
    action: str
    type: str
    target: str
    order_key: str | None
    ruleset: str  #: hash of the ruleset that its last attempt went by; before the first one, of that which planned it
    state: State
    next_attempt_at: int  #: ms; while pending
    attempts: int  #: counted attempts since the first one or the last replay; interrupted ones don't count
    interruptions: int  #: interrupted attempts in a row
    first_attempt_at: int | None  #: ms; start of the retry policy's clock
    created_at: int  #: ms
    blocked: bool = False  #: an earlier delivery of the same order key is not settled yet
    error: str = ""  #: the last attempt's error


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one delivery."""

    delivery_id: str
    number: int  #: 1 for the first try, interrupted ones included
    started_at: int  #: ms
    finished_at: int | None  #: ms; none while it runs
    outcome: OutcomeKind | None  #: none while it runs
    status: int | None
    error: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours to attempt, the proof of it, and the event to deliver."""

    token: str
    delivery: Delivery
    event: Event
    attempt: int  #: number of the attempt that the claim started, 1 for the first


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ends: written only while the token still owns the delivery."""

    delivery_id: str
    token: str
    outcome: Outcome
    state: State  #: succeeded, dead, or pending for another try
    finished_at: int  #: ms
    next_attempt_at: int  #: ms; read only when state is pending
    ruleset: str | None = None  #: hash of the rules that the attempt went by; none: those that the delivery names


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer of the store to an append: committed and fsynced."""

    event_id: str  #: of the first event, when this one is a duplicate
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class RulesetText:
    """A ruleset as it was written, to compile again when its deliveries outlive it."""

    hash: str
    text: str
    base_dir: str  #: the folder that its relative paths start from


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries are meant: those for which everything given holds."""

    states: tuple[State, ...] = ()  #: any of them; empty: whatever the state
    rule: str | None = None
    action: str | None = None
    target: str | None = None
    source: str | None = None
    event_id: str | None = None
    since: int | None = None  #: ms; planned then or later
    until: int | None = None  #: ms; planned before


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are meant: those for which everything given holds."""

    source: str | None = None
    since: int | None = None  #: ms; received then or later
    until: int | None = None  #: ms; received before


@dataclass(frozen=True, slots=True)
class EventHead:
    """An event without its headers and body, and how its deliveries stand."""

    seq: int  #: the store's commit order
    id: str
    source: str
    method: str
    path: str
    ip: str
    received_at: int  #: ms
    size: int  #: bytes of the body
    deliveries: Mapping[State, int]  #: how many of each state; empty: no rule matched


@dataclass(frozen=True, slots=True)
class Place:
    """A point in the store's history, from which somebody follows it."""

    event: int = 0  #: seq of the last event before it
    ended: int = 0  #: number of the last attempt's end before it


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as whoever follows the store sees it."""

    seq: int  #: the store's commit order
    id: str
    source: str
    method: str
    path: str
    received_at: int  #: ms
    size: int  #: bytes of the body
    plan: tuple[tuple[str, str, str], ...]  #: (rule, action, target) of each delivery; empty: no rule matched


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended, as whoever follows the store sees it."""

    seq: int  #: in the order in which the ends were committed
    event: int  #: its event's seq
    event_id: str
    source: str
    delivery_id: str
    rule: str
    action: str
    type: str
    target: str
    state: State  #: how the delivery stands now
    is_last: bool  #: there was no later attempt of the delivery yet
    attempt: Attempt  #: without its excerpt


@dataclass(frozen=True, slots=True)
class EndedPage:
    """Some ended attempts."""

    attempts: tuple[Ended, ...]  #: without those that are pruned
    next_after: int  #: where to go on
    more: bool  #: there may be more at once


@dataclass(frozen=True, slots=True)
class Depth:
    """What a target has to do, and what it failed to."""

    target: str
    due: int = 0  #: pending, and nothing but time or the target's limits holds it
    blocked: int = 0  #: pending behind an earlier one of the same order key
    running: int = 0
    dead: int = 0
    oldest_at: int | None = None  #: ms; when the oldest pending one was planned


class Standing(StrEnum):
    """What a target's breaker lets through."""

    CLOSED = "closed"  #: everything
    OPEN = "open"  #: nothing until its pause is over
    HALF_OPEN = "half-open"  #: one attempt is under way, and decides


class Wait(StrEnum):
    """What a pending delivery waits for."""

    ORDER = "order"  #: an earlier delivery of its order key
    RETRY = "retry"  #: the time of its next try
    RATE = "rate"  #: the target's rate
    BREAKER = "breaker"  #: the target's breaker
    CONCURRENCY = "concurrency"  #: an attempt at the target that is under way


@dataclass(frozen=True, slots=True)
class TargetLoad:
    """How a target stands at one moment."""

    key: str
    running: int  #: attempts under way
    concurrency: int
    rate: float | None  #: attempts started a second; none: no limit
    tokens: float  #: attempts that the rate lets start at once; read only when there is one
    breaker: Standing
    failures: int  #: in a row


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one step of pruning did, and where the next one goes on."""

    events: int  #: removed, with their deliveries and attempts
    next_after: int | None  #: none: no event is older than that


@dataclass(frozen=True, slots=True)
class RetryOn:
    """An entry of `retry.on`: failures of one cause, of a status or an exit code those in a range."""

    cause: Cause
    first: int = 0  #: of the range; read only when the cause is status or exit
    last: int = 0  #: included

    def __str__(self) -> str:
        if self.cause not in (Cause.STATUS, Cause.EXIT):
            return self.cause.value
        if self.first == self.last:
            return str(self.first)
        if self.cause is Cause.STATUS and self.first % 100 == 0 and self.last == self.first + 99:
            return f"{self.first // 100}xx"
        return f"{self.first}-{self.last}"

    def names(self, outcome: Outcome) -> bool:
        """Whether the outcome is one of these failures."""
        if self.cause in (Cause.STATUS, Cause.EXIT):
            return outcome.cause is self.cause and self.first <= (outcome.status or 0) <= self.last
        return outcome.cause is self.cause


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is tried again."""

    initial: float = 2.0  #: seconds before the second attempt
    factor: float = 2.0  #: each further wait is the last one times this
    max: float = 3600.0  #: seconds, the longest wait
    jitter: float = 0.2  #: each wait varies by up to this share of it, both ways
    attempts: int | None = None  #: counted attempts at the most; none: only give_up_after ends it
    give_up_after: float = 86400.0  #: seconds after the first attempt (or the last replay)
    retry_after_max: float = 3600.0  #: seconds; a longer Retry-After is cut to this
    retry_interrupted: bool = True  #: whether an attempt that our own stop cut off is made again
    on: tuple[RetryOn, ...] | None = None  #: what is tried again; none: everything but HTTP 410
