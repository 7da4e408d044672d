"""The retry schedule: pure functions of policy, outcome and time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.delivery.retry import next_attempt_at, settlement, wait
from router.model import Claim, Delivery, Event, Outcome, RetryPolicy, State

NOW = 1_700_000_000_000
POLICY = RetryPolicy()
EVENT = Event("e", "s", "POST", "/", "", (), b"", "", NOW)
DELIVERY = Delivery("d", 1, "e", "r", "a", "forward", "t", None, "h", State.RUNNING, NOW, 0, 0, None, NOW)


def _settle(outcome: Outcome, delivery: Delivery = DELIVERY, policy: RetryPolicy = POLICY) -> tuple[State, int]:
    done = settlement(Claim("token", delivery, EVENT, 1), outcome, policy, started_at=NOW, now=NOW + 500, spread=0.0)
    return done.state, done.next_attempt_at


def test_waits_double_from_two_seconds_to_an_hour() -> None:
    waits = [wait(POLICY, attempts) for attempts in range(1, 15)]

    assert waits == pytest.approx([2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600, 3600])


def test_a_very_late_attempt_overflows_nothing() -> None:
    assert wait(replace(POLICY, factor=100.0), 1_000_000) == 3600
    assert wait(replace(POLICY, factor=1.0), 1_000_000) == pytest.approx(2)


@given(
    spread=st.floats(-1, 1),
    attempts=st.integers(1, 10_000),
    retry_after=st.none() | st.floats(0, 1e9),
    factor=st.floats(1, 100),
)
def test_the_next_attempt_is_later_and_never_past_the_end(
    spread: float, attempts: int, retry_after: float | None, factor: float
) -> None:
    policy = replace(POLICY, factor=factor)

    at = next_attempt_at(
        policy, attempts=attempts, first_attempt_at=NOW, now=NOW + 1000, retry_after=retry_after, spread=spread
    )

    assert at is not None
    assert NOW + 1000 < at <= NOW + 1000 + 3600 * 1.2 * 1000 + 1


def test_it_gives_up_a_day_after_the_first_attempt() -> None:
    late = NOW + 86_400_000 - 1000

    assert next_attempt_at(POLICY, attempts=5, first_attempt_at=NOW, now=late, retry_after=None, spread=0) is None


def test_it_gives_up_after_the_allowed_attempts() -> None:
    policy = replace(POLICY, attempts=3)

    outcomes = [
        next_attempt_at(policy, attempts=n, first_attempt_at=NOW, now=NOW, retry_after=None, spread=0)
        for n in (1, 2, 3)
    ]

    assert outcomes[2] is None
    assert None not in outcomes[:2]


def test_retry_after_lengthens_a_wait_up_to_its_cap_and_never_shortens_it() -> None:
    def at(retry_after: float) -> int | None:
        return next_attempt_at(POLICY, attempts=3, first_attempt_at=NOW, now=NOW, retry_after=retry_after, spread=0)

    assert at(30) == NOW + 30_000
    assert at(1e12) == NOW + 3_600_000
    assert at(0) == NOW + 8_000


def test_each_outcome_leads_to_its_state() -> None:
    assert _settle(Outcome.succeeded(200)) == (State.SUCCEEDED, NOW + 500)
    assert _settle(Outcome.failed("gone"))[0] is State.DEAD
    assert _settle(Outcome.retry("HTTP 500")) == (State.PENDING, NOW + 2500)
    assert _settle(Outcome.interrupted("stop")) == (State.PENDING, NOW + 500)


def test_an_interruption_is_not_counted_but_three_in_a_row_are_the_end() -> None:
    assert _settle(Outcome.interrupted("stop"), replace(DELIVERY, interruptions=1))[0] is State.PENDING
    assert _settle(Outcome.interrupted("stop"), replace(DELIVERY, interruptions=2))[0] is State.DEAD


def test_an_action_may_ask_not_to_be_made_again_after_an_interruption() -> None:
    assert _settle(Outcome.interrupted("stop"), policy=replace(POLICY, retry_interrupted=False))[0] is State.DEAD
