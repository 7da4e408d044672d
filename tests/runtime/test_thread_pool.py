"""Blocking calls run in threads beside the loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from router.runtime.thread_pool import Threads


def _run(body: Callable[[Threads], Any], most: int = 2) -> Any:
    async def main() -> Any:
        threads = Threads("test", most)
        try:
            return await body(threads)
        finally:
            threads.close()

    return asyncio.run(main())


def test_a_call_returns_its_result_or_raises_its_error() -> None:
    async def body(threads: Threads) -> list[int]:
        with pytest.raises(ZeroDivisionError):
            await threads.call("a", divmod, 1, 0)
        return [await threads.call("a", sum, (1, 2)) for _ in range(3)]

    assert _run(body) == [3, 3, 3]


def test_threads_never_exceed_running_calls_or_the_maximum() -> None:
    names: set[str] = set()
    gate = threading.Barrier(2)

    def meet() -> None:
        names.add(threading.current_thread().name)
        gate.wait(60)

    async def body(threads: Threads) -> None:
        await asyncio.gather(*[threads.call("a", meet) for _ in range(6)])
        assert threads.under_way("a") == 0

    _run(body)
    assert names == {"test-1", "test-2"}


def test_a_hanging_call_blocks_neither_other_calls_nor_shutdown() -> None:
    gate = threading.Event()

    async def body(threads: Threads) -> int:
        hanging = threads.call("dead", gate.wait, 30)
        result = await threads.call("a", sum, (1, 2))
        assert threads.under_way("dead") == 1
        hanging.cancel()
        assert threads.under_way("dead") == 1  # the call continues
        return result

    assert _run(body) == 3
    gate.set()


def test_a_queued_call_that_is_cancelled_never_runs() -> None:
    gate = threading.Event()
    made: list[int] = []

    async def body(threads: Threads) -> None:
        first = threads.call("a", gate.wait, 30)
        second = threads.call("a", made.append, 1)
        second.cancel()
        gate.set()
        await first
        await threads.call("a", sum, ())

    _run(body, most=1)
    assert made == []
