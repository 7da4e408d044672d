"""Records the outcomes of attempts. Those that end while a commit is under way go into the next one together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from router.delivery.attempt import ids
from router.domain.deliveries import Claim, Delivery, Settlement, State
from router.domain.errors import StoreError
from router.domain.outcomes import Outcome, OutcomeKind
from router.observe.metrics import Metrics
from router.store.contract import Store

log = structlog.get_logger()

Commit = Callable[[Callable[[], "Future[list[State | None]]"]], Awaitable[list[State | None]]]
"""Write until it is committed; raises StoreError, never StoreUnavailable, for what can't be stored."""

_FINE = (OutcomeKind.SUCCEEDED, OutcomeKind.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt that finished."""

    claim: Claim
    outcome: Outcome  #: of the attempt itself, before the retry policy
    done: Settlement
    took: float  #: seconds


class Settling:
    """Belongs to the delivery loop."""

    def __init__(
        self,
        store: Store,
        commit: Commit,
        metrics: Metrics,
        waits: Callable[[Delivery], None] = lambda _: None,
        settled: Callable[[Claim], None] = lambda _: None,
    ) -> None:
        """`waits` is called with each delivery that waits for another attempt, `settled` with each recorded claim."""
        self._waits = waits
        self._settled = settled
        self._store = store
        self._commit = commit
        self._metrics = metrics
        self._waiting: list[FinishedAttempt] = []
        self._committing: asyncio.Task[None] | None = None
        self._log = log.bind()  # bound once for all lines

    def put(self, finished: FinishedAttempt) -> None:
        """Queue an attempt for the next commit, together with others that end before it begins."""
        self._waiting.append(finished)
        if self._committing is None:
            self._committing = asyncio.create_task(self._settle())

    async def finish(self, seconds: float) -> None:
        """Wait up to this many seconds for the queued attempts. The store gets the rest at once and writes it later."""
        if self._committing is not None:
            await asyncio.wait([self._committing], timeout=seconds)
        if self._waiting:
            self._store.settle([finished.done for finished in self._waiting])

    async def _settle(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._record(batch)
        finally:  # after an error too; otherwise no later attempt would be settled
            self._committing = None

    async def _record(self, batch: Sequence[FinishedAttempt]) -> None:
        try:
            settled = await self._commit(lambda: self._store.settle([finished.done for finished in batch]))
        except StoreError as error:
            if len(batch) > 1:  # one of them can't be stored: try each alone
                for finished in batch:
                    await self._record([finished])
                return
            log.error("settle can't be stored; made again after a restart", error=str(error), **ids(batch[0].claim))
            return
        for finished, state in zip(batch, settled, strict=True):
            self._settled(finished.claim)
            self._count(finished, state)
            self._log_line(finished, state)
            if state is State.PENDING:
                self._waits(finished.claim.delivery)

    def _count(self, finished: FinishedAttempt, state: State | None) -> None:
        delivery, done = finished.claim.delivery, finished.done
        # If another process owns the delivery, only the attempt is recorded.
        settled = () if state is None else (state, max(0, done.finished_at - delivery.created_at) / 1000)
        self._metrics.attempted(
            delivery.rule, delivery.action, delivery.target, done.outcome.kind, finished.took, *settled
        )

    def _log_line(self, finished: FinishedAttempt, state: State | None) -> None:
        outcome, done = finished.outcome, finished.done
        write = self._log.info if outcome.kind in _FINE else self._log.warning
        waits = (state or done.state) is State.PENDING
        again_in = round((done.next_attempt_at - done.finished_at) / 1000, 1) if waits else None
        write(
            "attempt lost: someone else owns the delivery" if state is None else "attempt settled",
            **ids(finished.claim),
            attempt=finished.claim.attempt,
            outcome=done.outcome.kind.value,
            state=(state or done.state).value,
            cause=outcome.cause.value if outcome.cause else None,
            status=outcome.status,
            error=done.outcome.error or None,
            ms=round(finished.took * 1000),
            again_in=again_in,
        )
