"""One target's limits: how many attempts may start there now."""

import math

from router.delivery.breaker import Breaker
from router.domain.target_state import BreakerState, TargetLoad, Wait
from router.plugins.target import NO_BREAKER, TargetSpec

RESTART_SECONDS = 0.2  #: every restart takes longer, so a rate with shorter waits needs no record of its last attempt
_BURST_SECONDS = 0.1  #: share of a rate that may start at once; larger bursts would defeat the receiver's own limit


class Target:
    """Slots, rate and breaker of one target. Belongs to the delivery loop; others may ask for its load only."""

    def __init__(self, spec: TargetSpec, now: float) -> None:
        self.tests = True  #: whether this node makes the test attempts while the breaker is open
        self.breaker = Breaker(spec.breaker)
        self.spec = spec
        self.running = 0
        self.told_down = False  #: the router has reported it down, and not yet up again
        self._tokens = self._burst
        self._filled_at = now

    def follow(self, spec: TargetSpec) -> None:
        """Use new limits after a reload. Running attempts and counted failures stay."""
        if spec is not self.spec:
            self.spec = spec
            self.breaker.spec = spec.breaker
            if spec.breaker is NO_BREAKER:
                self.breaker.state = BreakerState.CLOSED

    @property
    def records_claims(self) -> bool:
        """Whether the store must keep the time of the last attempt: the rate is so low that it spans a restart."""
        return self.spec.rate is not None and self.spec.rate * RESTART_SECONDS < 1

    def resume(self, seconds_ago: float) -> None:
        """Count the last attempt of an earlier process against the rate.

        `seconds_ago` is when it started: negative after the clock was set back, which counts as 0.
        """
        if self.spec.rate is not None:
            self._tokens = min(self._burst, max(0.0, seconds_ago) * self.spec.rate)

    def waits(self, now: float) -> tuple[Wait, float | None] | None:
        """Why no attempt may start at `now`, and for how many seconds, if that is known."""
        if self._allowed(now) == 0:
            seconds = self.breaker.until - now
            return Wait.BREAKER, seconds if self.breaker.state is BreakerState.OPEN and seconds > 0 else None
        if self.running >= self.spec.concurrency:
            return Wait.CONCURRENCY, None
        return None if self.free(now) else (Wait.RATE, self.free_in(now))

    @property
    def _burst(self) -> float:
        return max(1.0, (self.spec.rate or 0) * _BURST_SECONDS)

    def free(self, now: float) -> int:
        """How many attempts may start at `now` (monotonic seconds), by concurrency, breaker and rate together."""
        slots = self.spec.concurrency - self.running
        allowed = self._allowed(now)
        if allowed is not None:
            slots = min(slots, allowed)
        if self.spec.rate is None:
            return max(0, slots)
        self._tokens = self._tokens_at(now)
        self._filled_at = now
        # A rounding error must not delay an attempt that may start.
        return max(0, min(slots, math.floor(self._tokens + 1e-6)))

    def _allowed(self, now: float) -> int | None:
        """How many attempts the breaker lets this node start at `now`; None: any number."""
        allowed = self.breaker.allowed(now)
        return allowed if allowed is None or self.tests else 0

    def _tokens_at(self, now: float) -> float:
        return min(self._burst, self._tokens + max(0.0, now - self._filled_at) * (self.spec.rate or 0))

    def has_room(self, now: float) -> bool:
        """Whether an attempt may start at `now`. Changes nothing, and any thread may call it."""
        load = self.load(now)
        closed = load.breaker is BreakerState.CLOSED
        return closed and load.running < load.concurrency and (load.rate is None or load.tokens >= 1 - 1e-6)

    def load(self, now: float) -> TargetLoad:
        """How busy it is at `now`. Changes nothing, and any thread may call it."""
        spec, breaker = self.spec, self.breaker
        tokens = max(0.0, self._tokens_at(now))
        return TargetLoad(spec.key, self.running, spec.concurrency, spec.rate, tokens, breaker.state, breaker.failures)

    def free_in(self, now: float) -> float | None:
        """Seconds until rate and breaker let the next attempt start. None while that depends on running attempts, here
        or on the node that tests the target."""
        closed = self.breaker.state is BreakerState.CLOSED
        waits_for_test = self.breaker.state is BreakerState.HALF_OPEN or not (closed or self.tests)
        if self.spec.concurrency <= self.running or waits_for_test:
            return None
        pause = 0.0 if closed else max(0.0, self.breaker.until - now)
        if self.spec.rate is None or self.free(now):
            return pause
        return max(pause, (1 - self._tokens) / self.spec.rate)

    def start(self) -> bool:
        """Count an attempt that starts. True: its outcome decides whether the breaker closes."""
        self.running += 1
        if self.spec.rate is not None:  # attempts without a rate don't count when a reload adds a rate
            self._tokens -= 1
        return self.breaker.start()

    def take_back(self) -> None:
        """Undo `start`: the attempt is not made."""
        self.running -= 1
        if self.spec.rate is not None:
            self._tokens = min(self._burst, self._tokens + 1)

    def finish(self, answered: bool | None, now: float, *, decides: bool = False) -> None:
        """Count an attempt that ended. `answered`: see breaker.answered. `decides`: the result of `start`."""
        self.running -= 1
        self.breaker.finish(answered, now, decides=decides)
