"""What an operator does with the store in a PostgreSQL database, with or without running nodes."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.errors import StoreError
from router.domain.polls import PollResult
from router.store.contract import Finding, Progress
from router.store.postgres.check import check
from router.store.postgres.jobs.cancel import Cancel
from router.store.postgres.jobs.holds import PauseTarget, ResumeTarget
from router.store.postgres.jobs.job import WriteJob
from router.store.postgres.jobs.plan_again import PlanAgain
from router.store.postgres.jobs.poll import TakePoll
from router.store.postgres.jobs.replay import Replay
from router.store.postgres.opening import check_existing
from router.store.postgres.operator_connection import OperatorConnection
from router.store.postgres.reader import PostgresReader
from router.store.postgres.url import PostgresUrl


class OperatorMethods(PostgresReader):
    """The methods of OperatorStore, for every way to write."""

    @abstractmethod
    def _submit(self, job: WriteJob) -> "Future[Any]": ...

    def replay(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """See OperatorStore.replay."""
        return self._submit(Replay(delivery_ids, now))

    def cancel(self, delivery_ids: Sequence[str], now: int) -> "Future[list[str]]":
        """See OperatorStore.cancel."""
        return self._submit(Cancel(delivery_ids, now))

    def plan_again(
        self, event_id: str, plan: Sequence[PlannedDelivery], ruleset: RulesetText, now: int
    ) -> "Future[bool]":
        """See OperatorStore.plan_again."""
        return self._submit(PlanAgain(event_id, plan, ruleset, now))

    def pause(self, target: str, until: int | None, now: int) -> "Future[None]":
        """See OperatorStore.pause."""
        return self._submit(PauseTarget(target, until, now))

    def resume(self, target: str, now: int) -> "Future[bool]":
        """See OperatorStore.resume."""
        return self._submit(ResumeTarget(target, now))

    def hold_poll(self, source: str) -> Callable[[], None] | None:  # noqa: ARG002 - of nodes, one leads
        """See OperatorStore.hold_poll."""
        return lambda: None

    def take_poll(self, result: PollResult) -> "Future[bool]":
        """See OperatorStore.take_poll."""
        return self._submit(TakePoll(result))

    def check(self, progress: Progress) -> Iterator[Finding]:
        """See OperatorStore.check."""
        return check(self._url, progress)

    def backup(self, copy: Path, progress: Progress) -> int:  # noqa: ARG002
        """See OperatorStore.backup."""
        raise StoreError(
            f"the store {self.location} is backed up by the database's own means, such as pg_dump or pg_basebackup; "
            "`webhook-router store copy` writes it to a file"
        )


class PostgresOperatorStore(OperatorMethods):
    """Implements OperatorStore. Any thread may read and write; a write is done on return."""

    def __init__(self, url: PostgresUrl) -> None:
        """Open a store that exists. Raises StoreError."""
        check_existing(url)
        super().__init__(url)
        self._connection = OperatorConnection(url)

    def close(self) -> None:
        """See StoreReader.close."""
        self._connections.close()
        self._connection.close()

    def _submit(self, job: WriteJob) -> "Future[Any]":
        return self._connection.submit(job)
