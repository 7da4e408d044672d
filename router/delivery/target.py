"""A target's limits: how many attempts may start there now."""

import math

from router.plugins import TargetSpec

_BURST_SECONDS = 0.1  #: share of a rate that may start at once; larger bursts would defeat a receiver's own limit


class Target:
    """Slots and rate of one target. Belongs to the delivery loop; no other thread may touch it."""

    def __init__(self, spec: TargetSpec, now: float) -> None:
        self.spec = spec
        self.running = 0
        self._tokens = self._burst
        self._filled_at = now

    @property
    def _burst(self) -> float:
        return max(1.0, (self.spec.rate or 0) * _BURST_SECONDS)

    def free(self, now: float) -> int:
        """How many attempts may start at `now` (monotonic seconds)."""
        slots = self.spec.concurrency - self.running
        if self.spec.rate is None:
            return max(0, slots)
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self.spec.rate)
        self._filled_at = now
        # A hair of rounding must not cost a whole wait.
        return max(0, min(slots, math.floor(self._tokens + 1e-6)))

    def free_in(self, now: float) -> float | None:
        """Seconds until the rate lets the next attempt start; none while the slots are what is full."""
        if self.spec.concurrency <= self.running:
            return None
        if self.spec.rate is None or self.free(now):
            return 0.0
        return (1 - self._tokens) / self.spec.rate

    def start(self) -> None:
        """An attempt starts."""
        self.running += 1
        self._tokens -= 1

    def finish(self) -> None:
        """An attempt ended."""
        self.running -= 1
