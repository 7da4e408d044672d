"""The waits of deliveries are shortened when the wall clock was set back."""

from router.delivery.clock import AGAIN_SECONDS, STEP_SECONDS, ClockWatch

NOW = 1_700_000_000_000


def started() -> ClockWatch:
    """A clock that was last read at 100 s of the monotonic clock."""
    clock = ClockWatch()
    assert clock.waits_are_suspect(NOW, 100.0)  # the clock may have been set back before the start
    return clock


def test_a_steady_clock_shortens_no_waits() -> None:
    clock = started()

    assert not any(clock.waits_are_suspect(NOW + second * 1000, 100.0 + second) for second in range(1, 100))


def test_a_clock_set_back_shortens_waits_now_and_after_running_attempts() -> None:
    clock = started()

    assert clock.waits_are_suspect(NOW - 3_600_000, 101.0)
    looked = [
        second for second in range(1, 60) if clock.waits_are_suspect(NOW - 3_600_000 + second * 1000, 101.0 + second)
    ]
    assert looked == [AGAIN_SECONDS]


def test_a_clock_set_forward_shortens_no_waits_until_it_is_set_back() -> None:
    clock = started()

    assert not clock.waits_are_suspect(NOW + 3_600_000, 101.0)
    assert clock.waits_are_suspect(NOW + 2_000, 102.0)


def test_a_slewed_clock_shortens_no_waits() -> None:
    clock = started()

    assert not any(clock.waits_are_suspect(NOW + second * 900, 100.0 + second) for second in range(1, 100))


def test_shortening_the_waits_is_tried_again_after_a_failure() -> None:
    clock = started()
    clock.ask_again(100.0)

    assert not clock.waits_are_suspect(NOW + 500, 100.5)
    assert clock.waits_are_suspect(NOW + 1000, 100.0 + STEP_SECONDS)
