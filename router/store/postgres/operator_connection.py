"""Writes of an operator's command. Each write is committed when its call returns."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import psycopg

from router.domain.errors import StoreError, StoreUnavailable
from router.store.changes import Changes
from router.store.postgres.commit import commit_jobs
from router.store.postgres.connection import Connected, connect_or_explain
from router.store.postgres.faults import IN_THE_WAY, is_disconnect, is_unavailable, reason
from router.store.postgres.jobs.job import WriteJob
from router.store.postgres.url import PostgresUrl

TRIES = 10  #: of a transaction that another one blocks


class OperatorConnection:
    """One connection, opened by the first write. Any thread may write, one at a time."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: Connected | None = None
        self._writer = 0

    def submit(self, job: WriteJob) -> "Future[Any]":
        """Run a job. Its future is done when the call returns."""
        future: Future[Any] = Future()
        with self._lock:
            try:
                future.set_result(self._do([job])[0])
            except StoreError as error:
                future.set_exception(error)
        return future

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _do(self, jobs: Sequence[WriteJob]) -> list[Any]:
        connection = self._connected()
        try:
            for number in range(1, TRIES + 1):
                try:
                    results = commit_jobs(connection, self._writer, None, jobs, Changes())
                    connection.execute("SELECT nextval('webhook_router.signal')")
                    connection.execute("SELECT pg_notify('webhook_router', '')")
                except IN_THE_WAY:
                    if number == TRIES:
                        raise
                    time.sleep(0.05 * number)
                else:
                    return results
            raise AssertionError
        except psycopg.Error as error:
            self._connection = None
            connection.close()
            kind = StoreUnavailable if is_unavailable(error) else StoreError
            doubt = "; whether it was written is not known: look, and repeat it" if is_disconnect(error) else ""
            raise kind(f"the store {self._url} can't be written: {reason(error)}{doubt}") from None

    def _connected(self) -> Connected:
        if self._connection is None:
            self._connection = connect_or_explain(self._url)
            [(self._writer,)] = self._connection.execute("SELECT nextval('webhook_router.writer')").fetchall()
        return self._connection
