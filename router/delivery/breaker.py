"""A target's breaker: after sustained failure nothing is sent there but, now and then, one delivery to see."""

from enum import StrEnum

from router.model import Cause, Outcome, OutcomeKind
from router.plugins import BreakerSpec


class Standing(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"  #: everything
    OPEN = "open"  #: nothing until its pause is over
    HALF_OPEN = "half-open"  #: one attempt is under way, and decides


def answered(outcome: Outcome) -> bool | None:
    """Whether the target did its part; none when the attempt says nothing of it.

    An answer of 4xx is one: the target works, whatever it thinks of this event. 429 and 5xx say that it can't go on.
    """
    if outcome.kind is OutcomeKind.SUCCEEDED:
        return True
    if outcome.kind in (OutcomeKind.INTERRUPTED, OutcomeKind.FAILED) or outcome.cause is Cause.FAULT:
        return None
    return outcome.status is not None and outcome.status < 500 and outcome.status != 429


class Breaker:
    """Belongs to the delivery loop; times are monotonic seconds."""

    def __init__(self, spec: BreakerSpec) -> None:
        self.spec = spec
        self.standing = Standing.CLOSED
        self.failures = 0  #: in a row
        self.until = 0.0  #: while open: when the next attempt may be made
        self._pause = 0.0

    def lets(self, now: float) -> int | None:
        """How many attempts may start; none: as many as there is room for."""
        if self.standing is Standing.CLOSED:
            return None
        return int(self.standing is Standing.OPEN and now >= self.until)

    def start(self) -> None:
        """An attempt starts; while open it is the one that decides."""
        if self.standing is Standing.OPEN:
            self.standing = Standing.HALF_OPEN

    def finish(self, answered: bool | None, now: float) -> None:
        """An attempt ended. Those that began before the breaker opened count as well when they were answered."""
        if answered:
            self.standing, self.failures, self._pause = Standing.CLOSED, 0, 0.0
            return
        if answered is None:
            if self.standing is Standing.HALF_OPEN:  # nothing was learned: the next one may be made at once
                self.standing = Standing.OPEN
            return
        self.failures += 1
        if self.standing is Standing.HALF_OPEN or (
            self.standing is Standing.CLOSED and self.failures >= self.spec.failures
        ):
            self._pause = min(self.spec.max_pause, self._pause * 2 or self.spec.pause)
            self.standing, self.until = Standing.OPEN, now + self._pause
