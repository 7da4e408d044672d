"""The state of a target: its limits, its breaker, and what deliveries wait for."""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """The state of a target's breaker, by the attempts that it allows."""

    CLOSED = "closed"  #: every attempt may start
    OPEN = "open"  #: no attempt may start until the pause ends
    HALF_OPEN = "half-open"  #: one test attempt decides the next state


class Wait(StrEnum):
    """What a pending delivery waits for."""

    PAUSED = "paused"  #: its target is paused
    DISABLED = "disabled"  #: its rule or action is disabled
    ORDER = "order"  #: an earlier delivery of its order key is not settled
    LATEST = "latest"  #: the attempt at an earlier delivery of its latest_by value is under way
    WAIT = "wait"  #: its action's `wait` has not passed
    RETRY = "retry"  #: the time of its next try has not come
    RATE = "rate"  #: the target's rate is used up
    BREAKER = "breaker"  #: the target's breaker is open
    CONCURRENCY = "concurrency"  #: the target has as many running attempts as it may


@dataclass(frozen=True, slots=True)
class TargetLoad:
    """A target's load and limits now."""

    key: str
    running: int  #: running attempts
    concurrency: int
    rate: float | None  #: attempts that may start each second; None: no limit
    tokens: float  #: attempts that the rate allows now; meaningless without a rate
    breaker: BreakerState
    failures: int  #: failures in a row
