"""A node may judge the leases of others once it has seen the database for the length of one lease."""

from router.daemon.sure_leases import SureLeases

LEASE = 15.0
DAY_MS = 86_400_000


def _joined() -> SureLeases:
    """A node that joined at 100.0 s of the local clock and DAY_MS of the database's clock."""
    sure = SureLeases(LEASE)
    sure.begin(100.0, DAY_MS, 1)
    return sure


def test_an_expired_lease_counts_after_the_database_was_seen_for_a_lease() -> None:
    sure = _joined()

    assert not sure.tell(114.9)
    assert sure.tell(115.0)
    assert sure.uncounted_before == 0


def test_an_outage_or_a_failover_restarts_the_wait() -> None:
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


def test_a_database_clock_set_forward_restarts_the_wait() -> None:
    """Then every lease seems to have expired, also those of running nodes."""
    sure = _joined()
    sure.looked(120.0, DAY_MS + 20_000)
    assert sure.tell(120.0)

    sure.looked(121.0, DAY_MS + 21_000 + 3_600_000)

    assert not sure.tell(121.0)
    sure.looked(130.0, DAY_MS + 30_000 + 3_600_000)
    assert sure.tell(136.0)
    assert sure.uncounted_before == DAY_MS + 21_000 + 3_600_000


def test_a_renewal_also_notices_a_database_clock_set_forward() -> None:
    sure = _joined()

    assert not sure.renewed(120.0, 120.1, DAY_MS + 20_000 + 3_600_000, 1)

    assert not sure.tell(121.0)


def test_slow_answers_and_a_database_clock_set_back_do_not_restart_the_wait() -> None:
    sure = _joined()

    sure.looked(120.0, DAY_MS + 15_000)  # the answer took five seconds
    sure.looked(121.0, DAY_MS - 3_600_000)

    assert sure.tell(121.0)
