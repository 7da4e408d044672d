"""The retry policy: pure functions of policy, outcome and time."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.delivery.retry import next_attempt_at, retries, settlement, wait
from router.domain.deliveries import Claim, Delivery, Settlement, State
from router.domain.events import Event
from router.domain.outcomes import Cause, Outcome, OutcomeKind
from router.domain.retry_policy import RetryOn, RetryPolicy

NOW = 1_700_000_000_000
POLICY = RetryPolicy()
EVENT = Event("e", "s", "POST", "/", "", (), b"", "", NOW)
DELIVERY = Delivery("d", 1, "e", "r", "a", "forward", "t", None, "h", State.RUNNING, NOW, 0, 0, None, NOW)

# Any policy that a rules file can have: durations from 1 ms to 366 days, `initial` at most `max`.
_SECONDS = st.floats(0.001, 366 * 86_400)
POLICIES = st.builds(
    lambda bounds, **more: RetryPolicy(initial=min(bounds), max=max(bounds), **more),
    bounds=st.tuples(_SECONDS, _SECONDS),
    factor=st.floats(1, 100),
    jitter=st.floats(0, 1),
    attempts=st.none() | st.integers(1, 1_000_000),
    give_up_after=_SECONDS,
    retry_after_max=_SECONDS,
)
SPREADS = st.floats(-1, 1)


def _settled(outcome: Outcome, delivery: Delivery = DELIVERY, policy: RetryPolicy = POLICY) -> Settlement:
    claim = Claim("token", delivery, EVENT, 1)
    return settlement(claim, outcome, policy, started_at=NOW, now=NOW + 500, spread=0.0)


def _settle(outcome: Outcome, delivery: Delivery = DELIVERY, policy: RetryPolicy = POLICY) -> tuple[State, int]:
    done = _settled(outcome, delivery, policy)
    return done.state, done.next_attempt_at


def _next(policy: RetryPolicy, attempts: int = 1, now: int = NOW, **given: Any) -> int | None:
    more = {"first_attempt_at": NOW, "retry_after": None, "spread": 0.0} | given
    return next_attempt_at(policy, attempts=attempts, now=now, **more)


def test_waits_double_from_two_seconds_to_an_hour() -> None:
    waits = [wait(POLICY, attempts) for attempts in range(1, 15)]

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600]


def test_a_very_high_attempt_number_does_not_overflow() -> None:
    assert wait(replace(POLICY, factor=100.0), 1_000_000) == 3600
    assert wait(replace(POLICY, factor=1.0), 1_000_000) == 2


@given(policy=POLICIES, attempts=st.integers(1, 1_000_000))
@example(policy=replace(POLICY, factor=1.0000000000000002, max=1e7), attempts=5_000)
def test_waits_without_jitter_never_shrink_and_stop_at_the_maximum(policy: RetryPolicy, attempts: int) -> None:
    now, later = wait(policy, attempts), wait(policy, attempts + 1)

    assert policy.initial <= now <= later <= policy.max
    assert wait(policy, 1) == policy.initial


@given(policy=POLICIES, attempts=st.integers(1, 1_000_000), spread=SPREADS)
@example(policy=replace(POLICY, jitter=1.0), attempts=1, spread=-1.0)
def test_jitter_stays_within_its_share_of_the_wait(policy: RetryPolicy, attempts: int, spread: float) -> None:
    patient = replace(policy, attempts=None, give_up_after=1e9)

    at = _next(patient, attempts, spread=spread)

    assert at is not None
    waited = (at - NOW) / 1000
    plain = wait(policy, attempts)
    millisecond = 0.0011  # times are whole milliseconds, rounded up
    assert NOW < at
    assert plain * (1 - policy.jitter) - 1e-6 <= waited <= plain * (1 + policy.jitter) + millisecond
    assert waited <= policy.max * (1 + policy.jitter) + millisecond


@given(
    policy=POLICIES,
    attempts=st.integers(1, 1_000_000),
    age=st.integers(0, 10**11),
    retry_after=st.none() | st.floats(0, 1e12),
    spread=SPREADS,
)
def test_no_attempt_starts_after_the_deadline(
    policy: RetryPolicy, attempts: int, age: int, retry_after: float | None, spread: float
) -> None:
    at = _next(policy, attempts, NOW + age, retry_after=retry_after, spread=spread)

    assert at is None or NOW + age < at <= NOW + policy.give_up_after * 1000


@given(
    policy=POLICIES,
    attempts=st.integers(1, 1_000_000),
    retry_after=st.floats(0, 1e12),
    spread=SPREADS,
)
def test_generated_retry_after_is_capped_and_never_shortens_a_wait(
    policy: RetryPolicy, attempts: int, retry_after: float, spread: float
) -> None:
    patient = replace(policy, attempts=None, give_up_after=1e10)

    without = _next(patient, attempts, spread=spread)
    at = _next(patient, attempts, spread=spread, retry_after=retry_after)

    assert at is not None
    assert without is not None
    asked = NOW + min(retry_after, policy.retry_after_max) * 1000
    assert at >= asked - 1e-3
    assert without <= at <= max(without, asked + 1.001)


@given(policy=POLICIES, limit=st.integers(1, 1_000_000), spread=SPREADS)
def test_the_limit_of_attempts_is_exact(policy: RetryPolicy, limit: int, spread: float) -> None:
    limited = replace(policy, attempts=limit, give_up_after=1e10)

    assert _next(limited, limit, spread=spread) is None
    if limit > 1:
        assert _next(limited, limit - 1, spread=spread) is not None


@given(policy=POLICIES, attempts=st.integers(1, 1_000), back=st.integers(0, 10**10), spread=SPREADS)
def test_a_clock_set_back_does_not_change_retries(policy: RetryPolicy, attempts: int, back: int, spread: float) -> None:
    patient = replace(policy, attempts=None, give_up_after=1e10)

    at, later = _next(patient, attempts, NOW, spread=spread), _next(patient, attempts, NOW - back, spread=spread)

    assert at is not None
    assert later is not None
    assert at - NOW == later - (NOW - back)


def test_retries_end_a_day_after_the_first_attempt() -> None:
    day = 86_400_000

    assert _next(POLICY, 5, NOW + day - 33_000) == NOW + day - 1000
    assert _next(POLICY, 5, NOW + day - 31_000) is None


def test_retry_after_lengthens_a_wait_up_to_its_cap_and_never_shortens_it() -> None:
    assert _next(POLICY, 3, retry_after=30) == NOW + 30_000
    assert _next(POLICY, 3, retry_after=1e12) == NOW + 3_600_000
    assert _next(POLICY, 3, retry_after=float("inf")) == NOW + 3_600_000
    assert _next(POLICY, 3, retry_after=0) == NOW + 8_000


def _status(status: int, **more: Any) -> Outcome:
    return Outcome.retry(f"HTTP {status}", status, cause=Cause.STATUS, **more)


def _other(cause: Cause, status: int | None = None) -> Outcome:
    return Outcome.retry("no", status, cause=cause)


def test_every_failure_but_410_is_retried_by_default() -> None:
    assert [status for status in range(100, 1000) if not retries(POLICY, _status(status))] == [410]
    assert all(retries(POLICY, _other(cause)) for cause in Cause)
    assert retries(POLICY, _other(Cause.EXIT, 410))  # 410 is no exit code, so only a status can mean "gone"


@pytest.mark.parametrize(
    ("entry", "yes", "no"),
    [
        (RetryOn(Cause.STATUS, 503, 503), [_status(503)], [_status(502), _status(504), _other(Cause.EXIT, 503)]),
        (RetryOn(Cause.STATUS, 400, 499), [_status(400), _status(410), _status(499)], [_status(399), _status(500)]),
        (RetryOn(Cause.EXIT, 64, 78), [_other(Cause.EXIT, 64), _other(Cause.EXIT, 78)], [_other(Cause.EXIT, 63)]),
        (RetryOn(Cause.EXIT, 9, 9), [_other(Cause.EXIT, 9)], [_other(Cause.SIGNAL, -9), _other(Cause.TIMEOUT, -9)]),
        (RetryOn(Cause.NETWORK), [_other(Cause.NETWORK)], [_other(Cause.TIMEOUT), _status(503)]),
        (RetryOn(Cause.TIMEOUT), [_other(Cause.TIMEOUT), _other(Cause.TIMEOUT, -15)], [_other(Cause.NETWORK)]),
        (RetryOn(Cause.SIGNAL), [_other(Cause.SIGNAL, -11)], [_other(Cause.EXIT, 139)]),
        (RetryOn(Cause.NOT_STARTED), [_other(Cause.NOT_STARTED)], [_other(Cause.EXIT, 127)]),
        (RetryOn(Cause.NOT_WRITTEN), [_other(Cause.NOT_WRITTEN)], [_other(Cause.TIMEOUT)]),
    ],
)
def test_a_retry_on_list_replaces_the_default(entry: RetryOn, yes: list[Outcome], no: list[Outcome]) -> None:
    policy = replace(POLICY, on=(entry,))

    assert all(retries(policy, outcome) for outcome in yes)
    assert not any(retries(policy, outcome) for outcome in no)
    assert retries(policy, _other(Cause.FAULT))  # an error of the router does not count as an attempt


def test_each_outcome_gives_its_state() -> None:
    assert _settle(Outcome.succeeded(200)) == (State.SUCCEEDED, NOW + 500)
    assert _settle(Outcome.failed("no field"))[0] is State.DEAD
    assert _settle(_status(500)) == (State.PENDING, NOW + 2500)
    assert _settle(_status(500, retry_after=60.0)) == (State.PENDING, NOW + 60_500)
    assert _settle(_status(410)) == (State.DEAD, NOW + 500)
    assert _settle(Outcome.interrupted("stop")) == (State.PENDING, NOW + 500)


def test_a_failure_outside_the_list_is_dead_at_once_and_says_why() -> None:
    policy = replace(POLICY, on=(RetryOn(Cause.STATUS, 503, 503),))

    done = _settled(_status(404), policy=policy)

    assert (done.state, done.outcome.kind) == (State.DEAD, OutcomeKind.FAILED)
    assert done.outcome.error == "HTTP 404; not tried again: retry.on does not list it"
    assert _settle(_status(503), policy=policy)[0] is State.PENDING
    assert _settled(_status(503), policy=policy).outcome == _status(503)


def test_410_is_retried_when_the_list_names_it() -> None:
    assert _settle(_status(410), policy=replace(POLICY, on=(RetryOn(Cause.STATUS, 410, 410),)))[0] is State.PENDING
    assert _settle(_status(410), policy=replace(POLICY, on=(RetryOn(Cause.STATUS, 400, 499),)))[0] is State.PENDING
    assert _settled(_status(410)).outcome.error == "HTTP 410"


def test_the_error_of_the_last_attempt_names_the_limit() -> None:
    third = replace(DELIVERY, attempts=2, first_attempt_at=NOW)

    limited = _settled(_status(500), third, replace(POLICY, attempts=3))
    late = _settled(_status(500), third, replace(POLICY, give_up_after=8))
    only = _settled(_other(Cause.EXIT, 1), policy=replace(POLICY, attempts=1))

    assert limited.state is late.state is only.state is State.DEAD
    assert limited.outcome.error == "HTTP 500; gave up after 3 attempts"
    assert late.outcome.error == "HTTP 500; gave up: the next attempt would be later than give_up_after"
    assert only.outcome.error == "no"


def test_a_replay_restarts_the_retry_deadline() -> None:
    replayed = replace(DELIVERY, attempts=0, first_attempt_at=None, created_at=NOW - 10**10)

    assert _settle(_status(500), replayed) == (State.PENDING, NOW + 2500)


def test_interruptions_do_not_count_but_three_in_a_row_are_final() -> None:
    assert _settle(Outcome.interrupted("stop"), replace(DELIVERY, interruptions=1))[0] is State.PENDING
    assert _settle(Outcome.interrupted("stop"), replace(DELIVERY, interruptions=2))[0] is State.DEAD


def test_an_action_may_be_dead_after_an_interruption() -> None:
    assert _settle(Outcome.interrupted("stop"), policy=replace(POLICY, retry_interrupted=False))[0] is State.DEAD
