"""When an attempt is made again, and when a delivery gives up: pure functions of policy, outcome and time."""

import math

from router.model import Claim, Outcome, OutcomeKind, RetryPolicy, Settlement, State
from router.store.base import MAX_INTERRUPTIONS


def wait(policy: RetryPolicy, attempts: int) -> float:
    """Seconds between counted attempt number `attempts` (1 for the first) and the next, before jitter."""
    growth = (attempts - 1) * math.log(policy.factor)
    if growth >= math.log(policy.max / policy.initial):  # compared as logarithms: the power itself may overflow
        return max(policy.initial, policy.max)
    return policy.initial * math.exp(growth)


def next_attempt_at(
    policy: RetryPolicy, *, attempts: int, first_attempt_at: int, now: int, retry_after: float | None, spread: float
) -> int | None:
    """When (ms) to try again after counted attempt number `attempts` failed at `now`; none: give up.

    `spread` is a random number from -1 to 1, by which the wait varies within the policy's jitter.
    """
    if policy.attempts is not None and attempts >= policy.attempts:
        return None
    seconds = wait(policy, attempts) * (1 + policy.jitter * spread)
    if retry_after is not None:
        seconds = max(seconds, min(retry_after, policy.retry_after_max))
    at = now + math.ceil(seconds * 1000)
    return at if at <= first_attempt_at + policy.give_up_after * 1000 else None


def settlement(
    claim: Claim, outcome: Outcome, policy: RetryPolicy, *, started_at: int, now: int, spread: float
) -> Settlement:
    """What becomes of a delivery after this outcome."""
    delivery = claim.delivery
    state, at = State.PENDING, now
    if outcome.kind is OutcomeKind.SUCCEEDED:
        state = State.SUCCEEDED
    elif outcome.kind is OutcomeKind.FAILED:
        state = State.DEAD
    elif outcome.kind is OutcomeKind.INTERRUPTED:
        if not policy.retry_interrupted or delivery.interruptions + 1 >= MAX_INTERRUPTIONS:
            state = State.DEAD
    else:
        again = next_attempt_at(
            policy,
            attempts=delivery.attempts + 1,
            first_attempt_at=started_at if delivery.first_attempt_at is None else delivery.first_attempt_at,
            now=now,
            retry_after=outcome.retry_after,
            spread=spread,
        )
        state, at = (State.DEAD, now) if again is None else (State.PENDING, again)
    return Settlement(delivery.id, claim.token, outcome, state, finished_at=now, next_attempt_at=at)
