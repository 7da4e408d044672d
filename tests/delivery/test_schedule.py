"""The printed schedule has the attempts that are made when a target stays down."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from router.delivery.retry import next_attempt_at
from router.delivery.schedule import LONGEST, Schedule, schedule
from router.domain.retry_policy import RetryPolicy
from tests.conftest import examples

DAY = 86_400_000


def _played(policy: RetryPolicy) -> list[int]:
    """Each attempt in turn."""
    tries = [0]
    while True:
        again = next_attempt_at(
            policy, attempts=len(tries), first_attempt_at=0, now=tries[-1], retry_after=None, spread=0
        )
        if again is None:
            return tries
        tries.append(again)


def _unfolded(made: Schedule) -> list[int]:
    rest = range(made.tries - len(made.growing))
    return [*made.growing, *(made.growing[-1] + (made.every or 0) * (number + 1) for number in rest)]


def test_the_default_schedule_grows_to_an_hour_and_ends_after_a_day() -> None:
    made = schedule(RetryPolicy())

    assert made.growing == tuple(1000 * (2**n - 2) for n in range(1, 13))
    assert (made.every, made.tries, made.ended_by) == (3_600_000, 34, "give_up_after")
    assert DAY - 3_600_000 < made.last <= DAY


@examples(100)
@given(
    bounds=st.tuples(st.floats(0.05, 100), st.floats(0.05, 100)),
    factor=st.floats(1, 4) | st.just(1.0),
    attempts=st.none() | st.integers(1, 300),
    give_up_after=st.floats(0.01, 100),
)
def test_the_printed_schedule_equals_the_waits_of_the_policy(
    bounds: tuple[float, float], factor: float, attempts: int | None, give_up_after: float
) -> None:
    policy = RetryPolicy(
        initial=min(bounds), max=max(bounds), factor=factor, attempts=attempts, give_up_after=give_up_after
    )
    made, played = schedule(policy), _played(policy)

    assert _unfolded(made) == played
    assert made.last == played[-1]
    assert made.tries == len(played)
    assert (made.ended_by == "attempts") == (attempts == len(played))


def test_a_single_attempt_has_a_schedule_without_waits() -> None:
    assert schedule(RetryPolicy(attempts=1)) == Schedule((0,), None, 1, "attempts")
    assert schedule(RetryPolicy(give_up_after=1)) == Schedule((0,), None, 1, "give_up_after")


def test_equal_waits_are_printed_without_growth() -> None:
    assert schedule(RetryPolicy(initial=5, factor=1, attempts=10)) == Schedule((0,), 5000, 10, "attempts")
    assert schedule(RetryPolicy(initial=5, max=5, give_up_after=60)) == Schedule((0,), 5000, 13, "give_up_after")


def test_an_endless_schedule_is_shown_up_to_a_limit() -> None:
    policy = RetryPolicy(initial=0.001, factor=1 + 1e-9, max=3600)

    assert (schedule(policy).tries, schedule(policy).ended_by) == (LONGEST, None)
    many = schedule(replace(policy, factor=1))
    assert (len(many.growing), many.tries) == (1, DAY + 1)
