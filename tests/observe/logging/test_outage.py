"""A lasting failure is logged in few lines."""

from router.observe.logging.outage import Outage


def test_a_lasting_failure_is_logged_at_once_and_then_ever_less_often() -> None:
    outage = Outage()

    logged = {second: failures for second in range(3600) if (failures := outage.failed(float(second)))}

    assert list(logged) == [0, 10, 30, 70, 150, 310, 630, 1230, 1830, 2430, 3030]
    assert all(failures == second + 1 for second, failures in logged.items())


def test_the_end_of_a_failure_is_logged_once_and_the_next_failure_at_once() -> None:
    outage = Outage()
    for second in range(5):
        outage.failed(float(second))

    assert [outage.over(), outage.over()] == [5, 0]
    assert outage.failed(5.0) == 1
    assert [outage.failed(14.9), outage.failed(15.0)] == [0, 3]
