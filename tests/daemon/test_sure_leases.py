"""When a node may take a lease that is over for the end of its node."""

from router.daemon.sure_leases import SureLeases

LEASE = 15.0
DAY_MS = 86_400_000


def _joined() -> SureLeases:
    """Joined at 100.0 by the local clock, which was DAY_MS by the database's."""
    sure = SureLeases(LEASE)
    sure.begin(100.0, DAY_MS, 1)
    return sure


def test_a_lease_tells_once_the_database_was_there_for_one() -> None:
    sure = _joined()

    assert not sure.tell(114.9)
    assert sure.tell(115.0)
    assert sure.uncounted_before == 0


def test_after_an_outage_or_another_server_the_time_begins_again() -> None:
    sure = _joined()
    sure.lost()
    assert sure.away
    assert not sure.tell(200.0)

    assert sure.renewed(200.0, 200.1, DAY_MS + 100_000, 1)
    assert not sure.renewed(205.0, 205.1, DAY_MS + 105_000, 1)
    assert sure.tell(215.0)
    assert sure.uncounted_before == DAY_MS + 100_000

    assert sure.renewed(220.0, 220.1, DAY_MS + 120_000, 2)
    assert not sure.tell(221.0)


def test_after_the_databases_clock_was_set_forward_the_time_begins_again() -> None:
    """Every lease seems over then, also those of living nodes."""
    sure = _joined()
    sure.looked(120.0, DAY_MS + 20_000)
    assert sure.tell(120.0)

    sure.looked(121.0, DAY_MS + 21_000 + 3_600_000)

    assert not sure.tell(121.0)
    sure.looked(130.0, DAY_MS + 30_000 + 3_600_000)
    assert sure.tell(136.0)
    assert sure.uncounted_before == DAY_MS + 21_000 + 3_600_000


def test_a_clock_that_was_set_forward_is_noticed_by_a_renewal_too() -> None:
    sure = _joined()

    assert not sure.renewed(120.0, 120.1, DAY_MS + 20_000 + 3_600_000, 1)

    assert not sure.tell(121.0)


def test_slow_answers_and_a_clock_that_was_set_back_are_no_step_forward() -> None:
    sure = _joined()

    sure.looked(120.0, DAY_MS + 15_000)  # the answer took five seconds
    sure.looked(121.0, DAY_MS - 3_600_000)

    assert sure.tell(121.0)
