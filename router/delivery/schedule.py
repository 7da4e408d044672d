"""The times at which a retry policy tries a delivery that keeps failing, for `check --explain-retry`.

The dispatcher does not use it: retry.py computes one time after each attempt.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from router.delivery.retry import next_attempt_at, wait
from router.domain.retry_policy import RetryPolicy

LONGEST = 100_000  #: tries that are computed one by one; a factor just above 1 would need millions


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of all attempts, without jitter. Each attempt is taken to last no time."""

    growing: tuple[int, ...]  #: ms after the first attempt, which is at 0, while the waits grow
    every: int | None  #: ms between further tries once the waits stop growing; None: no further tries
    tries: int  #: number of all tries
    ended_by: Literal["attempts", "give_up_after"] | None  #: None: too many tries to count

    @property
    def last(self) -> int:
        """When the last attempt starts, in ms after the first."""
        return self.growing[-1] + (self.every or 0) * (self.tries - len(self.growing))


@lru_cache(maxsize=64)  # most actions of a file share a few policies
def schedule(policy: RetryPolicy) -> Schedule:
    """The schedule of a policy. It uses the function that settles attempts."""
    growing = [0]
    while len(growing) < LONGEST:
        again = next_attempt_at(
            policy, attempts=len(growing), first_attempt_at=0, now=growing[-1], retry_after=None, spread=0
        )
        if again is None:
            by_attempts = policy.attempts is not None and len(growing) >= policy.attempts
            ended_by: Literal["attempts", "give_up_after"] = "attempts" if by_attempts else "give_up_after"
            return Schedule(tuple(growing), None, len(growing), ended_by)
        if policy.factor == 1 or wait(policy, len(growing)) == policy.max:
            return _grown(policy, growing, again - growing[-1])
        growing.append(again)
    return Schedule(tuple(growing), None, LONGEST, None)


def _grown(policy: RetryPolicy, growing: list[int], every: int) -> Schedule:
    """Continue a schedule whose waits no longer grow."""
    tries = len(growing) + int((policy.give_up_after * 1000 - growing[-1]) // every)
    if policy.attempts is not None and policy.attempts <= tries:
        return Schedule(tuple(growing), every, policy.attempts, "attempts")
    return Schedule(tuple(growing), every, tries, "give_up_after")
