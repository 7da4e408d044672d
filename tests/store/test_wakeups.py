"""A commit wakes each waiting thread once, after all its results are set."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from router.runtime.wakeups import gathered, wake_up
from router.store.sqlite.store import SqliteStore

MakeEvent = Callable[..., Any]


def test_wake_ups_are_sent_once_at_the_end_of_the_block() -> None:
    woken: list[str] = []

    def first() -> None:
        woken.append("first")

    def second() -> None:
        woken.append("second")

    wake_up(first)
    assert woken == ["first"]  # outside of a block it is woken at once

    with gathered():
        for wake in (first, second, first):
            wake_up(wake)
        assert woken == ["first"]
    assert woken == ["first", "first", "second"]

    wake_up(second)
    assert woken[3:] == ["second"]


def test_a_block_that_fails_still_sends_its_wake_ups() -> None:
    woken: list[int] = []

    def wake() -> None:
        woken.append(1)

    with pytest.raises(ValueError, match="broken"), gathered():
        wake_up(wake)
        raise ValueError("broken")

    assert woken == [1]


def test_a_block_of_another_thread_delays_no_wake_up() -> None:
    entered, done = threading.Event(), threading.Event()

    def other() -> None:
        with gathered():
            entered.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    woken: list[int] = []
    wake_up(lambda: woken.append(1))
    done.set()
    thread.join()

    assert woken == [1]


def test_results_are_set_before_a_commit_wakes_listeners(
    sqlite_store: SqliteStore, path: Path, event: MakeEvent
) -> None:
    seen: list[bool] = []
    everybody = threading.Event()

    def wake() -> None:
        seen.append(all(future.done() for future in futures))
        if seen[-1]:
            everybody.set()

    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")  # the writer is blocked by this lock, and may have taken the first write already
    futures = [sqlite_store.append(event(), [], "r1") for _ in range(20)]
    for future in futures:
        future.add_done_callback(lambda _: wake_up(wake))
    other.execute("ROLLBACK")
    other.close()

    assert everybody.wait(10)
    assert len(seen) <= 2
