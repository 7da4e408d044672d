"""Retry-After: seconds or a date. A date is compared with the answer's Date header, since clocks differ."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.client.retry_after import retry_after

NOW = 784_111_677.0  #: 100 seconds before the dates of RFC 9110's examples


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        (" 120 ", 120),
        ("0.5", 0.5),
        ("9" * 200, float("9" * 200)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 100),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 100),
        ("Sun Nov  6 08:49:37 1994", 100),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0),
    ],
)
def test_retry_after_may_be_seconds_or_a_date(value: str, seconds: float) -> None:
    assert retry_after({"Retry-After": value}, NOW) == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "1e9", "inf", "nan", "\uff11\uff17", "99 Nov 1994", "Sun, 32 Nov 1994", "0x1"]
)
def test_an_unreadable_retry_after_is_ignored(value: str) -> None:
    assert retry_after({"Retry-After": value}, NOW) is None
    assert retry_after({}, NOW) is None


@given(ours=st.integers(0, 2**33), theirs=st.integers(0, 2**33), wait=st.integers(0, 86_400))
def test_a_date_is_read_relative_to_the_date_header(ours: int, theirs: int, wait: int) -> None:
    headers = {"Date": formatdate(theirs, usegmt=True), "Retry-After": formatdate(theirs + wait, usegmt=True)}

    assert retry_after(headers, float(ours)) == wait


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_retry_after_text_gives_a_wait_or_none(value: str, date: str) -> None:
    found = retry_after({"Retry-After": value, "Date": date}, NOW)

    assert found is None or found >= 0
