"""Records what came of attempts: what gathers while one commit is under way goes into the next, in one piece."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from router.domain.deliveries import Claim, Settlement, State
from router.domain.errors import StoreError
from router.domain.outcomes import Outcome, OutcomeKind
from router.observe.metrics import Metrics
from router.observe.trace_context import trace_id_of
from router.store.contract import Store

log = structlog.get_logger()

Commit = Callable[[Callable[[], "Future[list[bool]]"]], Awaitable[list[bool]]]
"""Write until it is committed; raises StoreError, never StoreUnavailable, for what can't be stored."""

_FINE = (OutcomeKind.SUCCEEDED, OutcomeKind.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt that ended."""

    claim: Claim
    outcome: Outcome  #: as it was, whatever the policy made of it
    done: Settlement
    took: float  #: seconds


class Settling:
    """Belongs to the delivery loop."""

    def __init__(self, store: Store, commit: Commit, metrics: Metrics) -> None:
        self._store = store
        self._commit = commit
        self._metrics = metrics
        self._waiting: list[FinishedAttempt] = []
        self._committing: asyncio.Task[None] | None = None
        self._log = log.bind()  # of its own, or each line would make one

    def put(self, ended: FinishedAttempt) -> None:
        """Record it soon: with all that ends in this turn of the loop, or until the commit under way is through."""
        self._waiting.append(ended)
        if self._committing is None:
            self._committing = asyncio.create_task(self._settle())

    async def finish(self, seconds: float) -> None:
        """Wait so long for what was put; the store is handed the rest, and goes on writing."""
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=seconds)
        if self._waiting:
            self._store.settle_all([ended.done for ended in self._waiting])

    async def _settle(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._record(batch)
        finally:  # however it ended, the next one must start another
            self._committing = None

    async def _record(self, batch: Sequence[FinishedAttempt]) -> None:
        try:
            settled = await self._commit(lambda: self._store.settle_all([ended.done for ended in batch]))
        except StoreError as error:
            if len(batch) > 1:  # one can't be stored: the others must not suffer
                for ended in batch:
                    await self._record([ended])
                return
            log.error("settle can't be stored; made again after a restart", error=str(error), **ids(batch[0].claim))
            return
        for ended, owned in zip(batch, settled, strict=True):
            self._count(ended, owned)
            self._tell(ended, owned)

    def _count(self, ended: FinishedAttempt, owned: bool) -> None:
        delivery, done = ended.claim.delivery, ended.done
        stands = (done.state, max(0, done.finished_at - delivery.created_at) / 1000) if owned else ()
        self._metrics.attempted(delivery.rule, delivery.action, delivery.target, done.outcome.kind, ended.took, *stands)

    def _tell(self, ended: FinishedAttempt, owned: bool) -> None:
        outcome, done = ended.outcome, ended.done
        tell = self._log.info if outcome.kind in _FINE else self._log.warning
        waits = done.state is State.PENDING
        again_in = round((done.next_attempt_at - done.finished_at) / 1000, 1) if waits else None
        tell(
            "attempt settled" if owned else "attempt lost: someone else owns the delivery",
            **ids(ended.claim),
            attempt=ended.claim.attempt,
            outcome=done.outcome.kind.value,
            state=done.state.value,
            cause=outcome.cause.value if outcome.cause else None,
            status=outcome.status,
            error=done.outcome.error or None,
            ms=round(ended.took * 1000),
            again_in=again_in,
        )


def ids(claim: Claim) -> dict[str, str]:
    """What a log line calls an attempt by."""
    delivery = claim.delivery
    return {
        "event_id": delivery.event_id,
        "delivery_id": delivery.id,
        "rule": delivery.rule,
        "action": delivery.action,
        "target": delivery.target,
        **trace_id_of(claim.event.headers),
    }
