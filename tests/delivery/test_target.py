"""A target's slots, rate limit and breaker."""

import itertools
from dataclasses import replace

import pytest

from router.delivery.target import Target
from router.domain.target_state import Wait
from router.plugins.target import BreakerSpec, TargetSpec


def test_slots_are_acquired_and_released() -> None:
    target = Target(TargetSpec("t", concurrency=2), now=0)

    target.start()
    assert target.free(0) == 1
    target.start()
    assert target.free(0) == 0
    assert target.free_in(0) is None
    target.finish(True, 0)
    assert target.free(0) == 1


def test_a_rate_limit_lets_its_number_through() -> None:
    target = Target(TargetSpec("t", concurrency=1000, rate=50.0), now=0)

    started = 0
    for step in range(1001):  # ten seconds in steps of 10 ms
        for _ in range(target.free(step / 100)):
            target.start()
            started += 1

    assert started == pytest.approx(505, abs=1)  # a burst of a tenth of a second, then 50 a second


def test_a_slow_rate_limit_says_when_the_next_attempt_may_start() -> None:
    target = Target(TargetSpec("t", concurrency=5, rate=0.1), now=0)
    assert target.free(0) == 1
    target.start()

    assert target.free(1) == 0
    assert target.free_in(1) == pytest.approx(9)
    assert target.free(10) == 1


def test_a_clock_that_stops_or_steps_back_adds_no_rate_tokens() -> None:
    target = Target(TargetSpec("t", concurrency=5, rate=1.0), now=100)
    target.start()

    assert target.free(50) == 0
    assert target.free(50.5) == 0


def test_fewer_slots_after_a_reload_never_count_below_zero() -> None:
    target = Target(TargetSpec("t", concurrency=5), now=0)
    for _ in range(5):
        target.start()

    target.follow(TargetSpec("t", concurrency=2))

    assert target.free(0) == 0


def test_an_open_breaker_lets_one_attempt_through_after_its_pause() -> None:
    target = Target(TargetSpec("t", concurrency=5, breaker=BreakerSpec.model_construct(failures=2, pause=10.0)), now=0)
    for _ in range(2):
        target.start()
        target.finish(False, 100)

    assert target.free(100) == 0
    assert target.free_in(104) == pytest.approx(6)
    assert target.free(110) == 1
    target.start()
    assert target.free(110) == 0
    assert target.free_in(110) is None  # the running attempt decides
    target.finish(True, 111)
    assert target.free(111) == 5


def test_breaker_and_rate_limit_must_both_allow_an_attempt() -> None:
    target = Target(TargetSpec("t", 5, rate=0.1, breaker=BreakerSpec.model_construct(failures=1, pause=2.0)), now=0)
    target.start()
    target.finish(False, 0)

    assert target.free(3) == 0
    assert target.free_in(3) == pytest.approx(7)


def test_a_reload_can_remove_the_breaker() -> None:
    target = Target(TargetSpec("t", 5, breaker=BreakerSpec.model_construct(failures=1)), now=0)
    target.start()
    target.finish(False, 0)
    assert target.free(1) == 0

    target.follow(TargetSpec("t", 5))

    assert target.free(1) == 5


def test_a_rate_limit_added_by_a_reload_counts_only_later_attempts() -> None:
    target = Target(TargetSpec("t", 5), now=0)
    for _ in range(50_000):
        target.start()
        target.finish(True, 1)

    target.follow(TargetSpec("t", 5, rate=1.0))

    assert target.free(2) == 1
    target.start()
    assert target.free_in(2) == pytest.approx(1)


def test_reading_the_state_of_a_target_changes_nothing() -> None:
    asked, left_alone = (Target(TargetSpec("t", concurrency=9, rate=10.0), now=0) for _ in range(2))
    for target in (asked, left_alone):
        target.start()

    loads = [asked.load(at) for at in (0, 0.05, 1000, 0.01)]

    assert [load.tokens for load in loads] == pytest.approx([0, 0.5, 1, 0.1])
    assert [asked.free(at) for at in (0.02, 0.09, 0.1)] == [left_alone.free(at) for at in (0.02, 0.09, 0.1)]


HOURLY = TargetSpec("t", concurrency=5, rate=1 / 3600)


@pytest.mark.parametrize(
    ("ago", "soon"),
    [
        (0, 3600),
        (3000, 600),
        (3600, 0),
        (10**9, 0),  # long ago, or by a clock that was set forward
        (-5000, 3600),  # by a clock that was set back: it delays by one interval at most
    ],
)
def test_a_low_rate_counts_the_last_start_before_a_restart(ago: float, soon: float) -> None:
    target = Target(HOURLY, now=0)

    target.resume(ago)

    assert target.free(0) == int(soon == 0)
    assert target.free_in(0) == pytest.approx(soon)


def test_a_changed_rate_counts_from_the_last_attempts_start() -> None:
    target = Target(TargetSpec("t", concurrency=5, rate=1 / 60), now=0)

    target.resume(30)

    assert target.free_in(0) == pytest.approx(30)


@pytest.mark.parametrize(
    ("rate", "recorded"), [(None, False), (1 / 3600, True), (4.9, True), (5.0, False), (1000.0, False)]
)
def test_the_last_start_is_stored_only_for_a_low_rate(rate: float | None, recorded: bool) -> None:
    assert Target(TargetSpec("t", 5, rate), now=0).records_claims is recorded


def test_a_target_names_the_limit_that_its_deliveries_wait_for() -> None:
    spec = TargetSpec("t", concurrency=1, rate=0.1, breaker=BreakerSpec.model_validate({"failures": 1, "pause": "5s"}))
    target = Target(spec, now=0)
    assert target.waits(0) is None

    decides = target.start()
    assert target.waits(1) == (Wait.CONCURRENCY, None)
    target.finish(False, 2, decides=decides)
    assert target.waits(3) == (Wait.BREAKER, 4)
    rate = target.waits(7)
    assert rate is not None
    assert rate[0] is Wait.RATE
    assert rate[1] == pytest.approx(3)
    assert target.waits(10) is None
    target.start()
    assert target.waits(11) == (Wait.BREAKER, None)  # the attempt that decides is running


def test_a_node_that_does_not_test_an_open_breaker_waits_for_the_one_that_does() -> None:
    target = Target(
        TargetSpec("t", concurrency=5, breaker=BreakerSpec.model_construct(failures=1, pause=10.0, max_pause=60.0)),
        now=0,
    )
    target.start()
    target.finish(False, 0)
    target.tests = False

    assert target.waits(4) == (Wait.BREAKER, 6)
    assert target.free(11) == 0
    assert target.free_in(11) is None
    assert target.waits(11) == (Wait.BREAKER, None)


@pytest.mark.parametrize("rate", [None, 0.1, 50.0])
@pytest.mark.parametrize("concurrency", [0, 1, 5])
def test_a_target_that_takes_nothing_never_asks_to_look_again_at_once(concurrency: int, rate: float | None) -> None:
    """Otherwise the loop of deliveries would spin until something changes."""
    seen = 0
    for tests, running, failed, half_open, at in itertools.product(
        (True, False), (0, 1, 5), (False, True), (False, True), (0.0, 5.0, 10.0, 100.0)
    ):
        target = Target(
            TargetSpec(
                "t",
                concurrency=8,
                rate=rate,
                breaker=BreakerSpec.model_construct(failures=1, pause=10.0, max_pause=60.0),
            ),
            now=0,
        )
        if failed:
            target.start()
            target.finish(False, 0)
            if half_open:
                target.breaker.start()
        for _ in range(running):
            target.start()
        target.follow(replace(target.spec, concurrency=concurrency))
        target.tests = tests
        if target.free(at) == 0:
            seconds = target.free_in(at)
            assert seconds is None or seconds > 0, (tests, running, failed, half_open, at)
            assert target.waits(at) is not None
            seen += 1
    assert seen > 20
