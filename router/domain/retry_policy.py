"""Retry policies: whether and when a failed attempt is tried again."""

from dataclasses import dataclass

from router.domain.outcomes import Cause, Outcome


@dataclass(frozen=True, slots=True)
class RetryOn:
    """An entry of `retry.on`: failures of one cause, for a status or an exit code those in a range."""

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
    factor: float = 2.0  #: each further wait is the wait before it times this
    max: float = 3600.0  #: seconds; the longest wait
    jitter: float = 0.2  #: each wait varies by up to this share, both ways
    attempts: int | None = None  #: the largest number of counted attempts; None: only give_up_after limits them
    give_up_after: float = 86400.0  #: seconds after the first attempt, or the last replay
    retry_after_max: float = 3600.0  #: seconds; a longer Retry-After is cut to this
    retry_interrupted: bool = True  #: whether an attempt that was interrupted by the daemon's stop is made again
    on: tuple[RetryOn, ...] | None = None  #: the failures that are tried again; None: all but HTTP 410
