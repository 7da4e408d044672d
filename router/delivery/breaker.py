"""A target's circuit breaker: after failures in a row, only one delivery is sent now and then, as a test."""

from collections.abc import Mapping

from router.domain.outcomes import Cause, Outcome, OutcomeKind
from router.domain.target_state import BreakerState
from router.plugins.target import NO_BREAKER, BreakerSpec


def answered(outcome: Outcome) -> bool | None:
    """Whether the target works; None when the attempt does not tell.

    A target that answers 4xx works: it only refused this event. 429 and 5xx say that it can't go on.
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
        self.state = BreakerState.CLOSED
        self.failures = 0  #: in a row
        self.until = 0.0  #: while open: when the next attempt may be made
        self.since = 0.0  #: while not closed: when it opened
        self._pause = 0.0

    def allowed(self, now: float) -> int | None:
        """How many attempts may start at `now` by the breaker; None: any number."""
        if self.state is BreakerState.CLOSED:
            return None
        return int(self.state is BreakerState.OPEN and now >= self.until)

    def start(self) -> bool:
        """An attempt starts. True while the breaker is open: then this attempt decides whether it closes."""
        if self.state is not BreakerState.OPEN:
            return False
        self.state = BreakerState.HALF_OPEN
        return True

    def finish(self, answered: bool | None, now: float, *, decides: bool = False) -> None:
        """An attempt ended; `decides` is what `start` gave.

        An attempt that began before the breaker opened counts only when it was answered.
        """
        if answered:
            self.state, self.failures, self._pause = BreakerState.CLOSED, 0, 0.0
            return
        half_open = decides and self.state is BreakerState.HALF_OPEN
        if answered is None:
            if half_open:  # the test gave no result: the next one may start at once
                self.state = BreakerState.OPEN
            return
        self.failures += 1
        if half_open or (self.state is BreakerState.CLOSED and self.failures >= self.spec.failures):
            self.since = self.since if half_open else now
            self._pause = min(self.spec.max_pause, self._pause * 2 or self.spec.pause)
            self.state, self.until = BreakerState.OPEN, now + self._pause

    def close(self) -> None:
        """Another node found that the target answers."""
        self.state, self.failures, self._pause = BreakerState.CLOSED, 0, 0.0

    def resume(self, noted: Mapping[str, object], now_ms: int, now: float) -> None:
        """Go on with the state that an earlier process noted. Times are bounded, since a clock may have been set."""
        failures, since, until, pause = (noted.get(key) for key in ("failures", "since", "until", "pause_ms"))
        if self.spec is NO_BREAKER or not (isinstance(since, int) and isinstance(until, int)):
            return
        self.state = BreakerState.OPEN
        self.failures = failures if isinstance(failures, int) else self.spec.failures
        self._pause = min(self.spec.max_pause, pause / 1000 if isinstance(pause, int) else self.spec.pause)
        self.until = now + min(max(0, until - now_ms) / 1000, self._pause)
        self.since = now - max(0, now_ms - since) / 1000

    def note(self, now_ms: int, now: float) -> dict[str, object]:
        """Its state as JSON data, for people and for `resume`; times in ms."""
        return {
            "state": self.state.value,
            "failures": self.failures,
            "since": now_ms - round((now - self.since) * 1000),
            "until": now_ms + round((self.until - now) * 1000),
            "pause_ms": round(self._pause * 1000),
        }
