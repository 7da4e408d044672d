"""Durations and sizes are parsed and formatted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.units import as_duration, as_size, seconds, shown, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (2.5, "2.5 s"),
        (59.999, "59.999 s"),
        (60, "1 m"),
        (62, "1 m 2 s"),
        (3600, "1 h"),
        (4094, "1 h 8 m 14 s"),
        (86_400, "24 h"),
        (2 * 86_400, "2 d"),
        (7 * 86_400 + 61, "7 d 1 m 1 s"),
    ],
)
def test_a_duration_is_shown_in_readable_units(seconds: float, text: str) -> None:
    assert shown(seconds) == text


@given(st.integers(0, 366 * 86_400_000))
def test_formatting_a_duration_loses_no_precision(ms: int) -> None:
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    words = shown(ms / 1000).split()

    assert round(sum(float(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))) == ms


@pytest.mark.parametrize(("ms", "text"), [(250, "250ms"), (90_000, "90s"), (300_000, "5m"), (7 * 86_400_000, "7d")])
def test_a_duration_is_written_as_in_the_rules_file(ms: int, text: str) -> None:
    assert as_duration(ms / 1000) == text


@given(st.integers(1, 366 * 86_400_000))
def test_a_formatted_duration_parses_to_the_same_value(ms: int) -> None:
    assert round(seconds(as_duration(ms / 1000)) * 1000) == ms


@given(st.integers(1, 2**40))
def test_a_formatted_size_parses_to_the_same_value(count: int) -> None:
    assert size(as_size(count)) == count
