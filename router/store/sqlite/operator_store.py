"""What an operator does with the store in one SQLite file, with or without a running daemon."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.polls import PollResult
from router.store.contract import Finding, Progress
from router.store.sqlite.backup import backup
from router.store.sqlite.check import check
from router.store.sqlite.jobs.cancel import Cancel
from router.store.sqlite.jobs.holds import PauseTarget, ResumeTarget
from router.store.sqlite.jobs.job import WriteJob
from router.store.sqlite.jobs.plan_again import PlanAgain
from router.store.sqlite.jobs.poll import TakePoll
from router.store.sqlite.jobs.replay import Replay
from router.store.sqlite.opening import check_existing
from router.store.sqlite.operator_connection import OperatorConnection
from router.store.sqlite.poll_lock import hold_poll
from router.store.sqlite.reader import SqliteReader


class OperatorMethods(SqliteReader):
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

    def hold_poll(self, source: str) -> Callable[[], None] | None:
        """See OperatorStore.hold_poll."""
        return hold_poll(self._path, source)

    def take_poll(self, result: PollResult) -> "Future[bool]":
        """See OperatorStore.take_poll."""
        return self._submit(TakePoll(result))

    def check(self, progress: Progress) -> Iterator[Finding]:
        """See OperatorStore.check."""
        return check(self._path, progress)

    def backup(self, copy: Path, progress: Progress) -> int:
        """See OperatorStore.backup."""
        return backup(self._path, copy, progress)


class SqliteOperatorStore(OperatorMethods):
    """Implements OperatorStore. Any thread may read; the writes belong to one thread, and are done on return."""

    def __init__(self, path: Path) -> None:
        """Open a store that exists. Raises StoreError."""
        check_existing(Path(os.path.realpath(path)))
        super().__init__(path)
        self._connection = OperatorConnection(self._path)

    def close(self) -> None:
        """See StoreReader.close."""
        self._connections.close()
        self._connection.close()

    def _submit(self, job: WriteJob) -> "Future[Any]":
        return self._connection.submit(job)
