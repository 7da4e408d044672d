"""When to retry and when to give up: pure functions of policy, outcome and time."""

import math
from dataclasses import replace

from router.domain.deliveries import Claim, Settlement, State
from router.domain.outcomes import Cause, Outcome, OutcomeKind
from router.domain.retry_policy import RetryPolicy
from router.store.contract import MAX_INTERRUPTIONS

_GONE = 410  #: RFC 9110, section 15.5.11: gone, probably for ever; retried only if retry.on lists it


def wait(policy: RetryPolicy, attempts: int) -> float:
    """Seconds between counted attempt number `attempts` (1 for the first) and the next, before jitter."""
    try:
        return min(policy.initial * policy.factor ** (attempts - 1), policy.max)
    except OverflowError:
        return policy.max


def retries(policy: RetryPolicy, outcome: Outcome) -> bool:
    """Whether the policy retries failures of this kind, while attempts and time are left."""
    if outcome.cause is Cause.FAULT:
        return True
    if policy.on is None:
        return not (outcome.cause is Cause.STATUS and outcome.status == _GONE)
    return any(entry.names(outcome) for entry in policy.on)


def next_attempt_at(
    policy: RetryPolicy,
    *,
    attempts: int,
    first_attempt_at: int,
    now: int,
    retry_after: float | None,
    spread: float,
    held_ms: int = 0,
) -> int | None:
    """When (ms) to try again after counted attempt number `attempts` failed at `now`; None: give up.

    `spread` is a random number from -1 to 1, by which the wait varies within the policy's jitter. The time
    `held_ms` since the first attempt does not count for `give_up_after`.
    """
    if policy.attempts is not None and attempts >= policy.attempts:
        return None
    seconds = wait(policy, attempts) * (1 + policy.jitter * spread)
    if retry_after is not None:
        seconds = max(seconds, min(retry_after, policy.retry_after_max))
    # Rounded up, so that no attempt comes early. Rounding errors of the float don't matter.
    at = now + max(1, math.ceil(round(seconds * 1000, 6)))
    return at if at <= first_attempt_at + held_ms + policy.give_up_after * 1000 else None


def settlement(
    claim: Claim,
    outcome: Outcome,
    policy: RetryPolicy,
    *,
    started_at: int,
    now: int,
    spread: float,
    held_ms: int = 0,
) -> Settlement:
    """The delivery's next state after this outcome. If a limit of the policy ended it, the error names the limit."""
    delivery = claim.delivery
    state, at = State.PENDING, now
    if outcome.kind is OutcomeKind.SUCCEEDED:
        state = State.SUCCEEDED
    elif outcome.kind is OutcomeKind.FAILED:
        state = State.DEAD
    elif outcome.kind is OutcomeKind.INTERRUPTED:
        too_often = delivery.interruptions + 1 >= MAX_INTERRUPTIONS and not outcome.is_excused
        if too_often or not policy.retry_interrupted:
            state = State.DEAD
    elif not retries(policy, outcome):
        reason = f"{outcome.error}; not tried again: retry.on does not list it" if policy.on else outcome.error
        state, outcome = State.DEAD, replace(outcome, kind=OutcomeKind.FAILED, error=reason)
    else:
        again = next_attempt_at(
            policy,
            attempts=delivery.attempts + 1,
            first_attempt_at=started_at if delivery.first_attempt_at is None else delivery.first_attempt_at,
            now=now,
            retry_after=outcome.retry_after,
            spread=spread,
            held_ms=held_ms,
        )
        if again is None:
            reason = f"{outcome.error}{_gave_up(policy, delivery.attempts + 1)}"
            state, outcome = State.DEAD, replace(outcome, error=reason)
        else:
            at = again
    return Settlement(delivery.id, claim.token, outcome, state, finished_at=now, next_attempt_at=at)


def _gave_up(policy: RetryPolicy, attempts: int) -> str:
    if policy.attempts == 1:
        return ""  # the policy allows one attempt only
    if policy.attempts is not None and attempts >= policy.attempts:
        return f"; gave up after {attempts} attempts"
    return "; gave up: the next attempt would be later than give_up_after"
