"""Deliveries and their attempts: planned, claimed, settled."""

from dataclasses import dataclass
from enum import StrEnum

from router.domain.events import Event
from router.domain.outcomes import Outcome, OutcomeKind


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  #: due at next_attempt_at, or blocked by order
    RUNNING = "running"  #: claimed by a dispatcher
    SUCCEEDED = "succeeded"
    DEAD = "dead"  #: gave up; stays until it is replayed, cancelled or pruned
    CANCELLED = "cancelled"  #: by an operator


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One delivery that matching planned; it becomes a Delivery when it is appended."""

    id: str  #: UUIDv7
    rule: str
    action: str
    type: str  #: of action, such as forward
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
class RulesetText:
    """A ruleset as it was written, to compile again when its deliveries outlive it."""

    hash: str
    text: str
    base_dir: str  #: the folder that its relative paths start from
