"""Calls from other threads reach the loop in order and with few wake-ups. A caller may stop waiting."""

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from router.domain.errors import StoreUnavailable
from router.runtime.loop_inbox import Inbox


def test_messages_before_the_loop_starts_need_one_wake_up() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        wake_ups: list[object] = []
        usual = loop.call_soon_threadsafe

        def counted(*given: Any, **more: Any) -> asyncio.Handle:
            wake_ups.append(given)
            return usual(*given, **more)

        loop.call_soon_threadsafe = counted  # type: ignore[assignment]
        inbox, heard = Inbox(), []
        done = loop.create_future()

        def speak() -> None:
            for number in range(100):
                inbox.call(lambda number=number: heard.append(number))  # type: ignore[misc]
            inbox.call(lambda: done.set_result(None))

        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()  # the join blocks the loop
        await asyncio.wait_for(done, 10)

        assert heard == list(range(100))
        assert len(wake_ups) == 1

        inbox.call(lambda: heard.append(100))
        await asyncio.sleep(0)
        assert heard[-1] == 100

    asyncio.run(run())


def test_results_and_errors_are_passed_on() -> None:
    async def run() -> None:
        inbox = Inbox()
        fine: Future[int] = Future()
        broken: Future[int] = Future()
        threading.Thread(target=fine.set_result, args=(7,)).start()
        threading.Thread(target=broken.set_exception, args=(StoreUnavailable("full"),)).start()

        assert await asyncio.wait_for(inbox.result(fine), 10) == 7
        with pytest.raises(StoreUnavailable, match="full"):
            await asyncio.wait_for(inbox.result(broken), 10)

    asyncio.run(run())


def test_a_cancelled_waiter_affects_neither_the_work_nor_other_waiters() -> None:
    async def run() -> None:
        inbox = Inbox()
        left: Future[int] = Future()
        kept: Future[int] = Future()
        gone = asyncio.ensure_future(inbox.result(left))
        waiting = inbox.result(kept)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone

        left.set_result(1)
        kept.set_result(2)

        assert not left.cancelled()
        assert await asyncio.wait_for(waiting, 10) == 2

    asyncio.run(run())


def test_messages_after_the_end_are_dropped() -> None:
    async def run() -> Inbox:
        return Inbox()

    inbox = asyncio.run(run())

    inbox.call(lambda: pytest.fail("nobody is there to call it"))
