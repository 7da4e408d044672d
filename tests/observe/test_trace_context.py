"""A trace is continued only if its header is valid W3C Trace Context."""

import re

import pytest

from router.domain.headers import Headers
from router.observe.trace_context import trace_id_of, trace_of
from tests.cases import each

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{ID}-{SPAN}-01"
State = tuple[tuple[str, str], ...]


def test_a_valid_trace_is_continued_with_a_new_span() -> None:
    trace = trace_of(Headers((("Host", "x"), ("TraceParent", GOOD))))

    assert trace is not None
    parents = {trace.parent() for _ in range(100)}
    assert len(parents) == 100
    for parent in parents:
        assert re.fullmatch(rf"00-{ID}-[0-9a-f]{{16}}-01", parent)
        assert SPAN not in parent
    assert trace_id_of(Headers((("traceparent", GOOD),))) == {"trace_id": ID}
    assert trace_id_of(Headers((("Host", "x"),))) == {}


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"00-{ID}-{SPAN}-00", "00"),
        (f"00-{ID}-{SPAN}-03", "03"),
        (f"00-{ID}-{SPAN}-ff", "03"),  # unknown flags are not passed on
        (f"cc-{ID}-{SPAN}-01", "01"),  # only known flags of a later version are passed on
        (f"cc-{ID}-{SPAN}-01-what-the-future-brings", "01"),
        (f"cc-{ID}-{SPAN}-01-", "01"),
    ],
)
def test_flags_and_later_versions_are_accepted(value: str, flags: str) -> None:
    trace = trace_of(Headers((("traceparent", value),)))

    assert trace is not None
    assert trace.parent().startswith(f"00-{ID}-")
    assert trace.parent().endswith(f"-{flags}")


@each(
    "value",
    [
        "", "00", GOOD.upper(), f"ff-{ID}-{SPAN}-01", f"00-{ID}-{SPAN}-01-", f"00-{ID}-{SPAN}-01-x",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{ID}-{'0' * 16}-01", f"00-{ID[1:]}-{SPAN}-01", f"00-{ID}-{SPAN}-1",
        f"00-{ID}-{SPAN}-0x", f"00-{ID}-{SPAN[1:]}g-01", f"cc-{ID}-{SPAN}-01x", f"0-{ID}-{SPAN}-01", f"00_{ID}_{SPAN}_01",
        f" {GOOD}", f"{GOOD} ", f"{GOOD},{GOOD}", f"{GOOD}\n", "\u0660\u0660" + GOOD[2:], GOOD + "-" * 100_000,
    ],
)  # fmt: skip
def test_an_invalid_traceparent_is_ignored(value: str) -> None:
    assert trace_of(Headers((("traceparent", value), ("tracestate", "a=1")))) is None


def test_two_traceparent_headers_are_ignored() -> None:
    assert trace_of(Headers((("traceparent", GOOD), ("Traceparent", GOOD)))) is None


@each(
    ("states", "kept"),
    [
        ((), ""),
        (("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",), "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (("a=1", "b=2"), "a=1,b=2"),
        (("a=1 ,\tb=2,,",), "a=1 ,\tb=2,,"),
        (("fw529a3039@dt=FfffffFF;x y",), "fw529a3039@dt=FfffffFF;x y"),
        (("",), ""),
        (("A=1",), ""),
        (("a=",), ""),
        (("a",), ""),
        (("a=b=c",), ""),
        (("a=1,é=2",), ""),
        (("a=\x1b[31m",), ""),
        (("a=1\r\nX-Evil: 1",), ""),
        ((f"{'a' * 256}=1",), f"{'a' * 256}=1"),
        ((f"{'a' * 257}=1",), ""),
        ((f"a={'1' * 256}",), f"a={'1' * 256}"),
        ((f"a={'1' * 257}",), ""),
        ((",".join(f"k{i}=1" for i in range(32)),), ",".join(f"k{i}=1" for i in range(32))),
        ((",".join(f"k{i}=1" for i in range(33)),), ""),
        ((",".join(f"k{i}={'1' * 250}" for i in range(20)),), ""),
    ],
)
def test_tracestate_is_passed_on_unchanged_or_dropped(states: tuple[str, ...], kept: str) -> None:
    trace = trace_of(Headers((("traceparent", GOOD), *(("TraceState", state) for state in states))))

    assert trace is not None
    assert trace.state == kept
