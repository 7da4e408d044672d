"""Frames between processes are read as they were sent, wherever the socket splits them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.daemon.processes.counts import decode_counts, encode_counts
from router.daemon.processes.event_frames import (
    decode_event,
    decode_result,
    encode_event,
    encode_failure,
    encode_result,
)
from router.daemon.processes.frames import Frame, FrameReader, Kind, pack
from router.daemon.processes.start import RulesToLoad, decode_problems, decode_rules, encode_problems
from router.domain.deliveries import IncludedText, PlannedDelivery, RulesetText
from router.domain.errors import Level, Problem, StoreError, StoreUnavailable
from router.domain.events import Appended, Event, Routing
from router.domain.groups import Latest, Once
from router.observe import metric_families as f
from router.observe.metrics import Metrics

FRAMES = st.lists(
    st.builds(Frame, st.sampled_from(Kind).map(int), st.integers(0, 2**64 - 1), st.binary(max_size=40)), max_size=5
)


@settings(max_examples=40)
@given(FRAMES, st.lists(st.integers(1, 30)))
def test_frames_are_read_whole_from_pieces_of_any_size(frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(pack(Kind(frame.kind), frame.number, frame.body) for frame in frames)
    reader, found = FrameReader(), []
    for size in sizes:
        found += reader.feed(data[:size])
        data = data[size:]
    found += reader.feed(data)

    assert found == frames


def test_a_large_frame_is_read_whole_among_small_ones() -> None:
    small, large = Frame(Kind.LINE, 1, b"small"), Frame(Kind.APPEND, 2, bytes(range(256)) * 8192)
    frames = [small, large, small, large, large, small]
    data = b"".join(pack(Kind(frame.kind), frame.number, frame.body) for frame in frames)
    reader, found = FrameReader(), []
    for at in range(0, len(data), 1_000_003):
        found += reader.feed(data[at : at + 1_000_003])

    assert found == frames
    assert reader.feed(pack(Kind.LINE, 1, b"small")) == [small]


def test_an_event_is_unchanged_by_its_frame(event: Callable[..., Event]) -> None:
    sent = event(body=b"\x00\xff" * 5, headers=(("A", "1"), ("a", "\xe9\u2028")), dedupe_key='"k"')
    plan = (
        PlannedDelivery("d", "r", "a", "forward", "t", '["k"]'),
        PlannedDelivery("e", "r", "b", "append", "r/b", None, "$.a[3]", 3),
        PlannedDelivery("f", "r", "c", "append", "r/c", group=Latest("[1]", 30, 300)),
        PlannedDelivery("g", "r", "d", "append", "r/d", group=Once("[1]", 50)),
    )

    routing = Routing("hash", ("r", "s"), (("u", "too many matches"),))

    found = decode_event(b"".join(encode_event(sent, plan, routing, 3000)))

    assert found == (sent, plan, routing, 3000)
    assert decode_event(b"".join(encode_event(replace(sent, body=b""), (), routing, 0))).event.body == b""
    large = replace(sent, body=b"x" * 2_000_000)
    [frame] = FrameReader().feed(pack(Kind.APPEND, 1, *encode_event(large, plan, routing, 3000)))
    assert decode_event(frame.body).event == large


def test_an_event_that_can_not_be_stored_is_refused_alone(event: Callable[..., Event]) -> None:
    with pytest.raises(StoreError):
        encode_event(event(dedupe_key="\ud800"), (), Routing("hash"), 0)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (encode_result(Appended("mine")), Appended("mine")),
        (encode_result(Appended("first", duplicate=True)), Appended("first", duplicate=True)),
    ],
)
def test_the_result_of_storing_an_event_is_unchanged_by_its_frame(sent: bytes, found: Appended) -> None:
    assert decode_result(sent, "mine") == found


@pytest.mark.parametrize("error", [StoreUnavailable("full"), StoreError("bad row"), ValueError("a fault \ud800")])
def test_the_reason_for_a_failed_append_is_unchanged_by_its_frame(error: Exception) -> None:
    found = decode_result(encode_failure(error), "mine")

    assert isinstance(found, StoreError)
    assert isinstance(found, StoreUnavailable) != (type(error) is StoreError)
    assert str(found) == str(error).replace("\ud800", "?")


def test_rules_and_problems_are_unchanged_by_their_frames() -> None:
    included = IncludedText("more/*.yaml", "more/a.yaml", "rules: []", "/etc/more")
    rules = RulesToLoad(7, RulesetText("0" * 64, "include: [more/*.yaml]", "/etc", (included,)), "rules.yaml")
    problems = (Problem("f", 1, 2, "rules[0]", "wrong", Level.WARNING), Problem("f", 3, 1, "", "worse"))

    assert decode_rules(7, rules.encode()) == rules
    assert decode_problems(encode_problems(problems)) == problems


def test_counts_of_processes_are_added_up() -> None:
    total, one = Metrics(), Metrics()
    for _ in range(3):
        one.received("s", ["a", "b"], 0.02)
        one.answered("s", 202)
        counted, state = decode_counts(encode_counts(one.take(), {"connections": 4}))
        total.add(counted)

    assert state == {"connections": 4}
    assert one.take().counts == {}
    assert total.counted().counts[f.MATCHES] == {("a",): 3, ("b",): 3}
    assert total.counted().counts[f.REQUESTS] == {("s", "202"): 3}
    histogram = total.counted().histograms[f.ANSWER_SECONDS][("s",)]
    assert (sum(histogram.counts), round(histogram.sum, 6)) == (3, 0.06)
