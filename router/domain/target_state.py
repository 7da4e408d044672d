"""What a target lets through at one moment."""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
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
    breaker: BreakerState
    failures: int  #: in a row
