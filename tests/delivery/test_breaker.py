"""A target's breaker: when it opens, which attempts it allows while open, and when it closes."""

import pytest

from router.delivery.breaker import Breaker, answered
from router.domain.outcomes import Cause, Outcome
from router.domain.target_state import BreakerState
from router.plugins.target import NO_BREAKER, BreakerSpec

SPEC = BreakerSpec.model_validate({"failures": 3, "pause": "5s", "max_pause": "12s"})


def _opened(at: float = 0) -> Breaker:
    breaker = Breaker(SPEC)
    for _ in range(SPEC.failures):
        breaker.start()
        breaker.finish(False, at)
    return breaker


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.succeeded(200), True),
        (Outcome.retry("HTTP 404", 404, cause=Cause.STATUS), True),
        (Outcome.retry("HTTP 410", 410, cause=Cause.STATUS), True),
        (Outcome.retry("HTTP 429", 429, cause=Cause.STATUS), False),
        (Outcome.retry("HTTP 500", 500, cause=Cause.STATUS), False),
        (Outcome.retry("no connection", cause=Cause.NETWORK), False),
        (Outcome.retry("no answer", cause=Cause.TIMEOUT), False),
        (Outcome.retry("internal error"), None),
        (Outcome.failed("payload.x is missing"), None),
        (Outcome.interrupted("the daemon stopped"), None),
    ],
)
def test_each_outcome_counts_as_failure_answer_or_neither(outcome: Outcome, said: bool | None) -> None:
    assert answered(outcome) is said


def test_the_breaker_opens_only_after_consecutive_failures() -> None:
    breaker = Breaker(SPEC)

    for said in (False, False, True, False, False):
        breaker.finish(said, 0)
    assert breaker.allowed(0) is None

    breaker.finish(False, 0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.allowed(4.9) == 0
    assert breaker.allowed(5) == 1


def test_the_pause_doubles_up_to_its_maximum_while_attempts_fail() -> None:
    breaker = _opened()

    pauses = []
    now = 0.0
    for _ in range(4):
        pauses.append(breaker.until - now)
        now = breaker.until
        assert breaker.start()
        assert breaker.allowed(now) == 0
        breaker.finish(False, now, decides=True)
    assert pauses == [5, 10, 12, 12]


def test_one_success_closes_the_breaker_and_resets_its_count() -> None:
    breaker = _opened()
    breaker.start()
    breaker.finish(True, 5)

    assert breaker.allowed(5) is None
    for _ in range(SPEC.failures):
        breaker.finish(False, 10)
    assert breaker.until == 15


def test_attempts_that_end_during_the_pause_never_lengthen_it_and_may_end_it() -> None:
    breaker = _opened()
    breaker.finish(False, 4)
    assert breaker.until == 5

    breaker.finish(True, 4.5)
    assert breaker.allowed(4.5) is None


def test_a_neutral_attempt_leaves_the_next_one_to_decide() -> None:
    breaker = _opened()
    decides = breaker.start()
    breaker.finish(None, 6, decides=decides)

    assert breaker.allowed(6) == 1


def test_only_the_probe_decides_while_half_open() -> None:
    breaker = _opened()
    assert breaker.start()

    breaker.finish(None, 6)
    assert breaker.allowed(6) == 0
    breaker.finish(False, 6)
    assert (breaker.state, breaker.until, breaker.allowed(100)) == (BreakerState.HALF_OPEN, 5, 0)

    breaker.finish(False, 7, decides=True)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 17)


def test_the_breaker_reports_since_when_the_target_fails() -> None:
    breaker = _opened(at=3)
    breaker.finish(False, 9, decides=breaker.start())

    assert breaker.since == 3


def test_an_open_breaker_stays_open_after_a_restart() -> None:
    noted = _opened(at=100).note(now_ms=1_000_000, now=101)

    again = Breaker(SPEC)
    again.resume(noted, now_ms=1_001_000, now=0)

    assert (again.state, again.failures) == (BreakerState.OPEN, 3)
    assert again.until == pytest.approx(3)
    assert again.allowed(2.9) == 0
    assert again.allowed(3.1) == 1
    decides = again.start()
    again.finish(False, 3.1, decides=decides)
    assert again.until == pytest.approx(3.1 + 10)  # the pause doubles as without the restart


@pytest.mark.parametrize("moved_ms", [-(10**12), 10**12])
def test_a_clock_changed_during_a_restart_does_not_lengthen_the_pause(moved_ms: int) -> None:
    again = Breaker(SPEC)

    again.resume(_opened(at=100).note(now_ms=1_000_000, now=101), now_ms=1_001_000 + moved_ms, now=0)

    assert again.until <= 5


@pytest.mark.parametrize("noted", [{}, {"since": "x", "until": None}, {"since": 1}])
def test_an_unreadable_note_means_a_closed_breaker(noted: dict[str, object]) -> None:
    again = Breaker(SPEC)

    again.resume(noted, now_ms=5, now=0)

    assert again.state is BreakerState.CLOSED


def test_a_breaker_that_the_rules_removed_stays_closed() -> None:
    again = Breaker(NO_BREAKER)

    again.resume(_opened(at=100).note(now_ms=1_000_000, now=101), now_ms=1_001_000, now=0)

    assert again.state is BreakerState.CLOSED
