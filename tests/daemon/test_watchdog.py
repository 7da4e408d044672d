"""The watchdog pings the service manager while the daemon's loops answer and its threads run."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.daemon.watchdog import Ping, Watchdog
from router.domain.reply import Reply
from router.http.server import Server
from router.runtime.loop_inbox import Inbox
from tests.conftest import until

SECONDS = 1.0  #: a loop that is silent for this long counts as hanging


@contextmanager
def _a_listener() -> Iterator[Ping]:
    server = Server(lambda _: Reply(200, b""), "127.0.0.1", 0)
    server.start()
    try:
        yield server.ping
    finally:
        server.stop(1)


@contextmanager
def _a_delivery_loop() -> Iterator[Ping]:
    boxes: queue.Queue[Inbox] = queue.Queue()
    end = threading.Event()

    async def live() -> None:
        boxes.put(Inbox())
        while not end.is_set():
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        yield boxes.get(timeout=30).call
    finally:
        end.set()
        thread.join()


@contextmanager
def watching(
    loops: Mapping[str, Ping], threads: Mapping[str, Callable[[], bool]], works: Callable[[], None]
) -> Iterator[None]:
    """Run a watchdog."""
    watchdog = Watchdog(SECONDS, works, loops, threads)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


def wait(release: threading.Event) -> None:
    """Block the calling thread until the release."""
    release.wait(30)


@pytest.mark.parametrize("loop", [_a_listener, _a_delivery_loop])
def test_a_hanging_loop_stops_the_watchdog_pings(loop: Any) -> None:
    signs: list[float] = []
    release = threading.Event()
    with capture_logs() as lines, loop() as ping, watching({"loop": ping}, {}, lambda: signs.append(time.monotonic())):
        until(lambda: len(signs) > 4)
        # Often enough for a service manager. A busy machine may delay some of the pings.
        assert min(after - before for before, after in pairwise(signs)) < SECONDS

        ping(lambda: wait(release))
        until(lambda: lines)
        told = len(signs)
        threading.Event().wait(2 * SECONDS)
        assert len(signs) <= told + 1
        release.set()
        until(lambda: len(signs) > told + 3)

    assert [(line["event"], line["part"]) for line in lines] == [
        ("a part of the daemon does not work; the service manager will restart it", "loop"),
        ("a part of the daemon works again", "loop"),
    ]
    after = len(signs)
    threading.Event().wait(SECONDS)
    assert len(signs) == after


@pytest.mark.parametrize("fault", [lambda: False, lambda: 1 / 0])
def test_an_ended_thread_stops_the_watchdog_pings(fault: Callable[[], bool]) -> None:
    signs: list[int] = []
    lives: list[Callable[[], bool]] = [lambda: True]
    with capture_logs() as lines, watching({}, {"store": lambda: bool(lives[0]())}, lambda: signs.append(1)):
        until(lambda: len(signs) > 2)

        lives[0] = fault
        until(lambda: lines)
        told = len(signs)
        threading.Event().wait(2 * SECONDS)

    assert len(signs) <= told + 1
