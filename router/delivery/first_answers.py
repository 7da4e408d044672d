"""Passes the answer of a delivery's first attempt to the sender who waits for it."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from router.domain.action_answer import ActionAnswer
from router.domain.deliveries import PlannedDelivery
from router.runtime.loop_inbox import Inbox

MOST = 1000  #: senders that may wait at once; each holds a connection, and an answer of up to 64 KiB

MayBegin = Callable[[str, str, str], bool]
"""Whether a delivery of this rule and action could begin at once at this target, as far as is known."""


class FirstAnswers:
    """Any thread may call `expect`, `forget` and `skipped`. Everything else belongs to the delivery loop."""

    def __init__(self, may_begin: MayBegin, most: int = MOST) -> None:
        self._may_begin = may_begin
        self._most = most
        self._asked: dict[str, tuple[Future[ActionAnswer | None], float]] = {}  #: by delivery, with their `within`
        self._inbox: Inbox | None = None

    def limit(self, most: int) -> None:
        """The most senders that may wait at once. Each of them holds a thread of the server."""
        self._most = min(most, self._most)

    def open(self, inbox: Inbox) -> None:
        """Take expectations from now on: the delivery loop runs."""
        self._inbox = inbox

    def expect(
        self, delivery_id: str, rule: str, action: str, target: str, within: float
    ) -> "Future[ActionAnswer | None]":
        """The answer of a delivery that is about to be stored.

        None when there is none within this many seconds, and at once when its attempt could not begin now.
        """
        future: Future[ActionAnswer | None] = Future()
        inbox = self._inbox
        if inbox is None or len(self._asked) >= self._most or not self._may_begin(rule, action, target):
            future.set_result(None)
            return future
        self._asked[delivery_id] = (future, within)
        inbox.call(lambda: self._end_within(delivery_id, within))
        return future

    def forget(self, delivery_id: str) -> None:
        """Drop an expectation, because the delivery was not stored."""
        self.ended(delivery_id, None)

    def skipped(self, delivery_id: str) -> None:
        """Answer the sender that the delivery was skipped and has no attempt. Any thread may call it."""
        inbox = self._inbox
        if inbox is not None and self.wants(delivery_id):
            inbox.call(lambda: self.ended(delivery_id, None))

    def wants(self, delivery_id: str) -> bool:
        """Whether a sender waits for this delivery's answer."""
        return delivery_id in self._asked

    def reserved(self, plan: Iterable[PlannedDelivery]) -> dict[str, int]:
        """Those deliveries of a plan whose answers are expected, each with its `within` in ms. Any thread may ask."""
        asked = self._asked
        if not asked:
            return {}
        return {one.id: round(found[1] * 1000) for one in plan if (found := asked.get(one.id)) is not None}

    def ended(self, delivery_id: str, answer: ActionAnswer | None) -> None:
        """End the sender's wait: the first attempt ended, or is not made now. The answer may be None."""
        found = self._asked.pop(delivery_id, None)
        if found is not None:
            with suppress(InvalidStateError):
                found[0].set_result(answer)

    def close(self) -> None:
        """End all waits: the loop makes no more attempts."""
        self._inbox = None
        for delivery_id in list(self._asked):
            self.ended(delivery_id, None)

    def _end_within(self, delivery_id: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.ended, delivery_id, None)
