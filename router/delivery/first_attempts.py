"""Makes here, and at once, the attempts whose answers senders of this node wait for.

Such a delivery is stored reserved: due only when the sender has stopped waiting, so that no other node, and no other
look of this one, takes it before. Once it is stored, this node claims it by its id, or lets everybody have it. After a
crash in between it waits until it is due; nothing else is lost.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from router.delivery.first_answers import FirstAnswers, MayBegin
from router.delivery.target import Target
from router.delivery.targets import Targets
from router.domain.deliveries import Claim, PlannedDelivery
from router.domain.errors import RouterError
from router.domain.events import Appended, Event
from router.runtime.loop_inbox import Inbox
from router.store.contract import Store

Take = Callable[[Claim, Target], Awaitable[None]]
"""Make the attempt of a claim whose slot is taken already, or give the claim back."""


class ReservingStore:
    """The intake's way to a store: what senders wait for is reserved, and handed to `stored` once it is committed.

    Any thread may call it.
    """

    def __init__(self, store: Store, answers: FirstAnswers, stored: Callable[[PlannedDelivery], None]) -> None:
        self._store = store
        self._answers = answers
        self._stored = stored

    def append(
        self,
        event: Event,
        plan: Sequence[PlannedDelivery],
        ruleset: str,
        *,
        matched: Sequence[str] = (),
        errors: Sequence[tuple[str, str]] = (),
        dedupe_window: int = 0,
    ) -> "Future[Appended]":
        """See EventSink.append."""
        reserved = self._answers.reserved(plan)
        committed = self._store.append(
            event, plan, ruleset, matched=matched, errors=errors, dedupe_window=dedupe_window, reserved=reserved
        )
        if reserved:
            expected = [one for one in plan if one.id in reserved]
            committed.add_done_callback(lambda done: self._committed(done, expected))
        return committed

    def _committed(self, done: "Future[Appended]", expected: Sequence[PlannedDelivery]) -> None:
        if not done.cancelled() and done.exception() is None and not done.result().duplicate:
            for one in expected:
                self._stored(one)


class FirstAttempts:
    """Belongs to the delivery loop."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        answers: FirstAnswers,
        targets: Targets,
        now_ms: Callable[[], int],
        may_begin: MayBegin,
        take: Take,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._answers = answers
        self._targets = targets
        self._now_ms = now_ms
        self._may_begin = may_begin
        self._take = take
        self._stored: deque[PlannedDelivery] = deque()

    def stored(self, planned: PlannedDelivery) -> None:
        """Tell the loop that a delivery whose answer a sender waits for is stored."""
        self._stored.append(planned)

    def begin(self, clock: float, keep: Callable[["asyncio.Task[None]"], None]) -> None:
        """Claim each of these deliveries whose target has a free slot. Let any node claim the others."""
        while self._stored:
            planned = self._stored.popleft()
            target = self._targets.get(planned.target, clock)
            expected = self._answers.wants(planned.id)
            if expected and self._may_begin(planned.rule, planned.action, planned.target) and target.free(clock):
                target.start()
                keep(asyncio.create_task(self._claim(planned.id, target)))
            else:
                self._answers.ended(planned.id, None)
                # if this fails, the delivery is due when its reservation ends
                self._store.unreserve(planned.id, self._now_ms())

    async def _claim(self, delivery_id: str, target: Target) -> None:
        claim = None
        with suppress(RouterError):  # it was not claimed, or its claim is given back like one whose answer was lost
            recorded = [target.spec.key] if target.records_claims else []
            claim = await self._inbox.result(self._store.claim_one(delivery_id, self._now_ms(), recorded))
        if claim is None:
            target.take_back()
            self._answers.ended(delivery_id, None)
        else:
            await self._take(claim, target)
