"""Writes for processes that don't own the store: an operator's commands, beside a running daemon or without one."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw

from router.domain.errors import StoreError, StoreUnavailable
from router.store.changes import Changes
from router.store.sqlite.connection import cause_of, connect
from router.store.sqlite.jobs.job import WriteJob


class OperatorConnection:
    """Runs one job at a time, each in a transaction of its own. Belongs to one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._closed = False

    def submit(self, job: WriteJob) -> "Future[Any]":
        """Run a job; its future is done when this returns."""
        future: Future[Any] = Future()
        if self._closed:
            future.set_exception(StoreUnavailable("the store is closed"))
            return future
        try:
            future.set_result(self._run(job))
        except apsw.BusyError:
            future.set_exception(StoreUnavailable(f"the store {self._path} is busy; try again"))
        except apsw.Error as error:
            future.set_exception(StoreError(f"the store {self._path} can't be written: {cause_of(error)}"))
        return future

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def _run(self, job: WriteJob) -> Any:
        if self._connection is None:
            self._connection = connect(self._path)
        # Immediate, since a transaction that begins with a read can't wait for another one's commit.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            [result] = type(job).run(
                self._connection, [job], Changes()
            )  # a running daemon notices the commit by itself
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result
