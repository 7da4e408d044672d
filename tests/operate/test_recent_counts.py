"""Viewers share the count of a large store, and see its age."""

import threading
from dataclasses import dataclass, field

import pytest

from router.domain.errors import StoreError
from router.operate.recent_counts import SHARED_ROWS, SHARED_SECONDS, SharedCount


@dataclass
class Counting:
    """Stands for a count: returns how often it was made, and can be delayed."""

    rows: int
    times: int = 0
    now: float = 0.0
    takes: float = 0.0  #: s of a count
    free: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.free.set()
        self.count = SharedCount[int](lambda _: self.rows, lambda: self.now)

    def make(self) -> int:
        """Make a count."""
        assert self.free.wait(60)
        self.times += 1
        self.now += self.takes
        return self.times

    def read(self) -> tuple[int, float]:
        """The count and its age that a viewer gets."""
        return self.count.read(self.make)


def test_few_rows_are_counted_again_for_each_viewer() -> None:
    counting = Counting(SHARED_ROWS - 1)

    assert [counting.read() for _ in range(3)] == [(1, 0.0), (2, 0.0), (3, 0.0)]


def test_a_long_count_is_shared_and_repeated_when_it_is_old() -> None:
    counting = Counting(SHARED_ROWS)
    assert counting.read() == (1, 0.0)

    counting.now = SHARED_SECONDS / 2
    assert counting.read() == (1, SHARED_SECONDS / 2)

    counting.now = SHARED_SECONDS * 2
    seen = {counting.read()[0]}
    while 2 not in seen:  # until the new count is ready, viewers see the last one
        seen.add(counting.read()[0])
    assert seen <= {1, 2}


def test_viewers_see_the_last_count_during_a_new_one() -> None:
    counting = Counting(SHARED_ROWS)
    counting.read()
    counting.now = 100.0
    counting.free.clear()

    assert [counting.read() for _ in range(3)] == [(1, 100.0)] * 3

    counting.free.set()
    while counting.read()[0] == 1:
        pass
    assert counting.times == 2


def test_a_count_that_takes_long_is_used_for_longer() -> None:
    counting = Counting(SHARED_ROWS, takes=5.0)
    counting.read()

    counting.now = 49.0

    assert counting.read() == (1, 49.0)
    assert counting.times == 1


def test_an_unreadable_store_is_an_error_instead_of_an_old_count() -> None:
    counting = Counting(SHARED_ROWS)
    counting.read()
    counting.now = 100.0

    def fail() -> int:
        raise StoreError("away")

    with pytest.raises(StoreError):
        while True:
            counting.count.read(fail)
