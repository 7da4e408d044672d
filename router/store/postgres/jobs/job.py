"""The interface of a write: which rows it locks, its statements, and its results."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol
from uuid import UUID

from router.store.changes import DueListener
from router.store.postgres.transaction import Transaction
from router.store.write_queue import QueuedJob

Finish = Callable[[DueListener], list[Any]]
"""Makes a result for each job from the rows of the flush."""


class WriteJob(QueuedJob, Protocol):
    """One write. It may run again after a failed transaction, so running it must not change it."""

    order: ClassVar[int]  #: when its kind runs in the transaction, so that all writers take locks in the same order

    @property
    def lanes(self) -> Sequence[UUID]:
        """The orders that it changes, as far as it knows them."""
        ...

    @property
    def groups(self) -> Sequence[UUID]:
        """The groups that it adds to."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """Deliveries whose orders or groups it may change."""
        ...

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence[Any]) -> Finish:
        """Send the statements of jobs of this kind."""
        ...


class Simple:
    """Defaults of a job that changes no order."""

    __slots__ = ()
    is_append: ClassVar[bool] = False
    order: ClassVar[int] = 5
    weight: ClassVar[int] = 0
    lanes: ClassVar[Sequence[UUID]] = ()
    groups: ClassVar[Sequence[UUID]] = ()
    ids: ClassVar[Sequence[str]] = ()


def none_for(jobs: Sequence[Any]) -> Finish:
    """Results for jobs that return nothing."""
    return lambda _: [None] * len(jobs)
