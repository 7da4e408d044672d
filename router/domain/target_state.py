"""The state of a target: its limits, its breaker, and what deliveries wait for."""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """The state of a target's breaker, by the attempts that it allows."""

    CLOSED = "closed"  #: all
    OPEN = "open"  #: none until its pause ends
    HALF_OPEN = "half-open"  #: one, which decides the next state


class Wait(StrEnum):
    """What a pending delivery waits for."""

    PAUSED = "paused"  #: its target is paused
    DISABLED = "disabled"  #: its rule or action is disabled
    ORDER = "order"  #: an earlier delivery of its order key
    LATEST = "latest"  #: the attempt at an earlier delivery of its latest_by value
    WAIT = "wait"  #: the end of its action's `wait`
    RETRY = "retry"  #: the time of its next try
    RATE = "rate"  #: the target's rate
    BREAKER = "breaker"  #: the target's breaker
    CONCURRENCY = "concurrency"  #: a running attempt at the target


@dataclass(frozen=True, slots=True)
class TargetLoad:
    """A target's load and limits now."""

    key: str
    running: int  #: running attempts
    concurrency: int
    rate: float | None  #: attempts that may start each second; None: no limit
    tokens: float  #: attempts that the rate allows at once; meaningless without a rate
    breaker: BreakerState
    failures: int  #: failures in a row
