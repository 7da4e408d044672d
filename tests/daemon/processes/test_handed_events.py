"""Events on their way to the main process are limited in bytes and number, keep their order and can be cancelled."""

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
    """Stands for the main process: keeps the frames that it gets, and answers them."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.events = HandedEvents(lambda data: self.frames.extend(FrameReader().feed(data)))

    def sent(self, kind: Kind = Kind.APPEND) -> list[int]:
        """The numbers of the received frames of a kind."""
        return [frame.number for frame in self.frames if frame.kind == kind]

    def answer(self, number: int, body: bytes = encode_result(Appended(""))) -> None:
        """Report the result of storing an event."""
        self.events.results([Frame(Kind.RESULT, number, body)])


@pytest.fixture
def main() -> Main:
    """A stand-in for the main process."""
    return Main()


@pytest.fixture
def append(main: Main, event: Callable[..., Event]) -> Callable[[int], "Future[Appended]"]:
    """Return a function that hands over an event of a given size."""
    return lambda size: main.events.append(event(body=b"x" * size), (), "hash")


Append = Callable[[int], "Future[Appended]"]


def test_an_append_succeeds_when_the_main_process_has_stored_the_event(main: Main, append: Append) -> None:
    first, second, third = (append(10) for _ in range(3))

    main.answer(2)
    main.answer(1, encode_result(Appended("first", duplicate=True)))
    main.answer(3, encode_failure(StoreUnavailable("disk full")))

    assert not second.result(0).duplicate
    assert first.result(0) == Appended("first", duplicate=True)
    with pytest.raises(StoreUnavailable, match="disk full"):
        third.result(0)


def test_events_beyond_the_credit_wait_in_order_until_earlier_ones_are_stored(
    main: Main, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 10_000)
    for _ in range(3):
        append(4_000)  # the third is beyond the credit
    append(10)  # small enough for the credit, but it keeps its place behind the third
    assert main.sent() == [1, 2]

    main.answer(1)

    assert main.sent() == [1, 2, 3, 4]


def test_an_event_larger_than_the_credit_is_sent_when_no_other_waits(
    main: Main, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 1_000)
    append(50_000)
    append(50_000)
    assert main.sent() == [1]

    main.answer(1)

    assert main.sent() == [1, 2]


def test_the_bytes_of_waiting_events_are_limited(main: Main, append: Append, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 1_000)
    monkeypatch.setattr(handed_events, "WAITING_BYTES", 3_000)
    append(900)
    append(900)
    waits, refused = append(900), append(900)

    assert not waits.done()
    with pytest.raises(StoreUnavailable, match="too far behind"):
        refused.result(0)


def test_a_cancelled_event_is_taken_back(main: Main, append: Append, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_events, "CREDIT_BYTES", 1_000)
    sent, waiting = append(900), append(900)

    assert sent.cancel()
    assert waiting.cancel()
    assert main.sent(Kind.CANCEL) == [1]
    main.answer(1)  # the event was stored before the cancel came; nobody waits for the answer
    append(900)

    assert main.sent() == [1, 3]  # the second was never sent


def test_all_events_fail_when_the_main_process_is_gone(main: Main, append: Append) -> None:
    before = append(10)

    main.events.fail_all()

    for future in (before, append(10)):
        with pytest.raises(StoreUnavailable, match="main process has ended"):
            future.result(0)
