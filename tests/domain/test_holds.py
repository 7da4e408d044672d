"""Holds: the one that is shown, and the time for which a delivery was held."""

import pytest

from router.domain.holds import Hold, HoldCause, HoldKind, Holds

TARGET, RULE, ACTION = HoldKind.TARGET, HoldKind.RULE, HoldKind.ACTION
OPERATOR, FILE = HoldCause.OPERATOR, HoldCause.FILE


def held_ms(*holds: Hold, since: int = 0, now: int = 1000) -> int:
    """The time for which a delivery of r/a to t was held."""
    return Holds(holds).held_ms("t", "r", "a", since, now)


def test_only_holds_of_the_deliverys_own_names_count() -> None:
    others = [Hold(TARGET, "u", OPERATOR, 0), Hold(RULE, "t", FILE, 0), Hold(ACTION, "r/b", FILE, 0)]

    assert held_ms(*others) == 0
    assert Holds(others).of("t", "r", "a", 1000) is None
    for mine in (Hold(TARGET, "t", OPERATOR, 0), Hold(RULE, "r", FILE, 0), Hold(ACTION, "r/a", FILE, 0)):
        assert held_ms(mine) == 1000
        assert Holds([*others, mine]).of("t", "r", "a", 1000) is mine


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([Hold(TARGET, "t", OPERATOR, 100, ended_at=300)], 200),
        ([Hold(TARGET, "t", OPERATOR, 100, until=300)], 200),
        ([Hold(TARGET, "t", OPERATOR, 100, until=5000)], 900),
        ([Hold(TARGET, "t", OPERATOR, 100, until=300, ended_at=250)], 150),
        ([Hold(TARGET, "t", OPERATOR, 100, ended_at=300), Hold(RULE, "r", FILE, 200, ended_at=400)], 300),
        ([Hold(RULE, "r", FILE, 200, ended_at=250), Hold(TARGET, "t", OPERATOR, 100, ended_at=300)], 200),
        ([Hold(TARGET, "t", OPERATOR, 100, ended_at=200), Hold(TARGET, "t", OPERATOR, 900)], 200),
        ([Hold(TARGET, "t", OPERATOR, 2000)], 0),  # the clock was set back
    ],
)
def test_time_under_several_holds_counts_once(holds: list[Hold], expected: int) -> None:
    assert held_ms(*holds) == expected


def test_time_before_the_first_attempt_does_not_count() -> None:
    assert held_ms(Hold(TARGET, "t", OPERATOR, 100, ended_at=300), since=250) == 50
    assert held_ms(Hold(TARGET, "t", OPERATOR, 100, ended_at=300), since=400) == 0


def test_an_expired_hold_holds_nothing() -> None:
    holds = Holds([Hold(TARGET, "t", OPERATOR, 0, until=500), Hold(RULE, "x", FILE, 0, ended_at=10)])

    assert holds.of("t", "r", "a", 499) is not None
    assert holds.of("t", "r", "a", 500) is None
    assert holds.active(600) == {}


def test_the_hold_that_lasts_longest_is_shown() -> None:
    short, long, endless = (
        Hold(TARGET, "t", OPERATOR, 0, until=2000),
        Hold(TARGET, "t", OPERATOR, 0, until=3000),
        Hold(RULE, "r", FILE, 0),
    )

    assert Holds([short, long]).of("t", "r", "a", 1000) is long
    assert Holds([endless, long, short]).of("t", "r", "a", 1000) is endless
