"""The attempts under way: begins them, has their outcomes settled, and cuts them off at a stop or the lease's end."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from router.delivery.attempt import LEASE_OVER, AttemptResult, Attempts, ids
from router.delivery.breaker import answered
from router.delivery.first_answers import FirstAnswers
from router.delivery.held_claims import HeldClaims
from router.delivery.holding import Holding
from router.delivery.own_events import OwnEvents
from router.delivery.retry import settlement
from router.delivery.settling import FinishedAttempt, Settling
from router.delivery.target import Target
from router.delivery.targets import Targets
from router.domain.deliveries import Claim
from router.domain.own_events import is_own

STOP_SECONDS = 3.0  #: how long a stop waits for the settles of cancelled attempts

log = structlog.get_logger()


class RunningAttempts:
    """Belongs to the delivery loop."""

    def __init__(
        self,
        attempts: Attempts,
        settling: Settling,
        targets: Targets,
        claims: HeldClaims,
        holding: Holding,
        answers: FirstAnswers,
        own_events: OwnEvents,
        now_ms: Callable[[], int],
        slot_free: Callable[[], None],
    ) -> None:
        """`slot_free` is called when an attempt no longer holds a slot of its target."""
        self._attempts = attempts
        self._settling = settling
        self._targets = targets
        self._claims = claims
        self._holding = holding
        self._answers = answers
        self._own_events = own_events
        self._now_ms = now_ms
        self._slot_free = slot_free
        self._attempting: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[None]] = set()  #: attempts, and what else a stop waits for
        self._verbose: bool = log.is_enabled_for(logging.DEBUG)  # asked once: it costs more than most lines

    def begin(self, claim: Claim, clock: float) -> None:
        """Take a slot of the claim's target, and begin the attempt."""
        target = self._targets.get(claim.delivery.target, clock)
        self.attempt(claim, target, decides=target.start())

    def attempt(self, claim: Claim, target: Target, *, decides: bool) -> asyncio.Task[None]:
        """Begin an attempt whose slot is taken. `decides`: its outcome decides what the target's breaker does."""
        if self._verbose:
            log.debug("attempt begins", **ids(claim), attempt=claim.attempt)
        attempt = asyncio.create_task(self._deliver(claim, target, decides=decides))
        self._attempting.add(attempt)
        attempt.add_done_callback(self._attempting.discard)
        self.keep(attempt)
        return attempt

    def keep(self, task: asyncio.Task[None]) -> None:
        """Have a stop wait for this task too."""
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def cut_off(self) -> None:
        """Cancel the attempts: the node's lease is over."""
        for task in self._attempting:
            task.cancel(LEASE_OVER)

    async def end(self, grace: float) -> None:
        """Wait up to `grace` seconds, then cancel the rest. A cancelled attempt settles itself as interrupted."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in self._running:
            task.cancel()
        if self._running:
            log.warning("attempts cut off by the stop; they will be made again", attempts=len(self._running))
            await asyncio.wait(self._running, timeout=STOP_SECONDS)
        await self._settling.finish(STOP_SECONDS)

    async def _deliver(self, claim: Claim, target: Target, *, decides: bool) -> None:
        """Make one attempt, then settle it. Only the attempt holds one of the target's slots."""
        started_at, clock = self._now_ms(), time.monotonic()
        result, change = AttemptResult(None), None
        try:
            result = await self._attempts.make(claim)
        finally:
            # The target's breaker sees the outcome itself, not what the retry policy makes of it.
            told = None if result.outcome is None else answered(result.outcome)
            change = self._targets.finish(target, told, decides=decides, own=is_own(claim.event))
            self._slot_free()
            self._answers.ended(claim.delivery.id, result.outcome.answer if result.outcome else None)
        if result.outcome is None:
            self._claims.let_go(claim)
            return
        now, took = self._now_ms(), time.monotonic() - clock  # the wall clock may have been set meanwhile
        spread = random.uniform(-1, 1)  # noqa: S311 - jitter
        done = settlement(
            claim,
            result.outcome,
            result.policy,
            started_at=started_at,
            now=now,
            spread=spread,
            held_ms=self._holding.held_ms(claim.delivery) if self._holding.ever else 0,
        )
        down = time.monotonic() - target.breaker.since
        done = replace(done, ruleset=result.ruleset, notices=self._own_events.of(claim, done, change, down))
        self._settling.put(FinishedAttempt(claim, result.outcome, done, took))
