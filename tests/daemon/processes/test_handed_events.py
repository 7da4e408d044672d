"""Events on their way to the main process: bounded, in order, taken back, and failed when it is gone."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from router.daemon.processes import handed_events
from router.daemon.processes.event_frames import encode_failure, encode_result
from router.daemon.processes.frames import Frame, FrameReader, Kind
from router.daemon.processes.handed_events import HandedEvents
from router.domain.errors import StoreUnavailable
from router.domain.events import Appended, Event


class Main:
    """The main process: what it was sent, and its answers."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.events = HandedEvents(lambda data: self.frames.extend(FrameReader().feed(data)))

    def sent(self, kind: Kind = Kind.APPEND) -> list[int]:
        """The numbers of the frames of a kind."""
        return [frame.number for frame in self.frames if frame.kind == kind]

    def answer(self, number: int, body: bytes = encode_result(Appended(""))) -> None:
        """Say what became of an event."""
        self.events.results([Frame(Kind.RESULT, number, body)])


@pytest.fixture
def main() -> Main:
    """A main process."""
    return Main()


@pytest.fixture
def append(main: Main, event: Callable[..., Event]) -> Callable[[int], "Future[Appended]"]:
    """Hand over an event with so many bytes."""
    return lambda size: main.events.append(event(body=b"x" * size), (), "hash")


Append = Callable[[int], "Future[Appended]"]


def test_an_event_is_stored_when_the_main_process_says_so(main: Main, append: Append) -> None:
    first, second, third = (append(10) for _ in range(3))

    main.answer(2)
    main.answer(1, encode_result(Appended("first", duplicate=True)))
    main.answer(3, encode_failure(StoreUnavailable("disk full")))

    assert not second.result(0).duplicate
    assert first.result(0) == Appended("first", duplicate=True)
    with pytest.raises(StoreUnavailable, match="disk full"):
        third.result(0)


def test_events_beyond_the_credit_wait_in_order_for_results_of_others(
    main: Main, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 10_000)
    for _ in range(3):
        append(4_000)  # the third has no credit
    append(10)  # has, but may not overtake
    assert main.sent() == [1, 2]

    main.answer(1)

    assert main.sent() == [1, 2, 3, 4]


def test_an_event_larger_than_the_credit_goes_alone(
    main: Main, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 1_000)
    append(50_000)
    append(50_000)
    assert main.sent() == [1]

    main.answer(1)

    assert main.sent() == [1, 2]


def test_the_number_of_waiting_events_is_limited(main: Main, append: Append, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 1_000)
    monkeypatch.setattr(handed_events, "WAITING_BYTES", 3_000)
    append(900)
    append(900)
    waits, refused = append(900), append(900)

    assert not waits.done()
    with pytest.raises(StoreUnavailable, match="too far behind"):
        refused.result(0)


def test_a_refused_event_is_taken_back(main: Main, append: Append, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 1_000)
    sent, waiting = append(900), append(900)

    assert sent.cancel()
    assert waiting.cancel()
    assert main.sent(Kind.CANCEL) == [1]
    main.answer(1)  # it was too late: the answer is not heard any more
    append(900)

    assert main.sent() == [1, 3]  # the second was never sent


def test_all_events_fail_when_the_main_process_is_gone(main: Main, append: Append) -> None:
    before = append(10)

    main.events.fail_all()

    for future in (before, append(10)):
        with pytest.raises(StoreUnavailable, match="main process has ended"):
            future.result(0)
