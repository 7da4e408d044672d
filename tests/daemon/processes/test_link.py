"""A link sends each frame once, from any thread, and reports the loss of the other process."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from router.daemon.processes.frames import Frame, FrameReader, Kind, pack
from router.daemon.processes.link import Link
from tests.conftest import until

THREADS, FRAMES = 4, 500


class Ours:
    """A link on an event loop of its own, and the other end of its socket."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(30)
        ours.settimeout(0)
        self.lost = threading.Event()
        self.received: list[Frame] = []
        self.link = Link(self.received.extend, self.lost.set)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.link.send(pack(Kind.PING, 0))  # sent before the link has a loop
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.link.attach(ours), self.loop).result(30)

    def read(self, count: int) -> list[Frame]:
        """The next frames at the other end."""
        reader, found = FrameReader(), list[Frame]()
        while len(found) < count:
            found += reader.feed(self.theirs.recv(65536))
        return found

    def close(self) -> None:
        self.theirs.close()
        self.loop.call_soon_threadsafe(self.link.close)
        until(self.lost.is_set)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


@pytest.fixture
def ours() -> Iterator[Ours]:
    """A link and its other end."""
    made = Ours()
    yield made
    made.close()


def test_frames_of_many_threads_arrive_in_the_order_of_each_thread(ours: Ours) -> None:
    def send(number: int) -> None:
        for at in range(FRAMES):
            frame = pack(Kind.LINE, at, bytes([number]) * (at % 50))
            if at % 3 == 0:
                ours.link.send_later(frame)
            elif at % 3 == 1:
                ours.link.send(frame)
            else:
                ours.link.put(frame)
                ours.link.wake()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()

    found = ours.read(THREADS * FRAMES + 1)

    for thread in threads:
        thread.join(60)
    assert found[0] == (Kind.PING, 0, b"")
    for number in range(THREADS):
        mine = [frame.number for frame in found if frame.body[:1] == bytes([number])]
        assert mine == [at for at in range(FRAMES) if at % 50]
    assert ours.link.is_sent()


def test_a_frame_that_may_wait_for_others_is_sent_soon_without_them(ours: Ours) -> None:
    ours.link.send_later(pack(Kind.LINE, 1, b"a line"))

    assert ours.read(2)[1] == (Kind.LINE, 1, b"a line")


def test_the_loss_of_the_other_process_is_reported_and_later_frames_are_dropped(ours: Ours) -> None:
    ours.theirs.sendall(pack(Kind.PONG, 3))
    ours.theirs.close()
    until(ours.lost.is_set)

    ours.link.send(pack(Kind.PING, 1))

    assert ours.received == [(Kind.PONG, 3, b"")]
    assert (ours.link.waiting, ours.link.is_sent()) == (0, True)
