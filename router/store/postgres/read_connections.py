"""A small pool of connections for reading, which all threads share."""

import threading
from typing import Any

import psycopg

from router.domain.errors import StoreError
from router.store.postgres.connection import Connected, connect, explained
from router.store.postgres.faults import is_disconnect, reason
from router.store.postgres.url import PostgresUrl

CONNECTIONS = 4  #: that read at the same time; further threads wait for their turn
WAIT_SECONDS = 10.0  #: for a turn


class ReadConnections:
    """The pool. Any thread may read. When no connection is free, it opens another and keeps it."""

    def __init__(self, url: PostgresUrl, connections: int = CONNECTIONS) -> None:
        self._url = url
        self._turns = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._free: list[Connected] = []
        self._closed = False

    def read(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of one query. Raises StoreError."""
        if not self._turns.acquire(timeout=WAIT_SECONDS):
            raise StoreError(f"the store {self._url} can't be read: too many others read it")
        try:
            return self._read(sql, values)
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close the free connections now, and each of the others after its query."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        connection, fresh = self._take()
        try:
            try:
                rows = _rows(connection, sql, values)
            except psycopg.Error as error:
                if fresh or not is_disconnect(error):
                    raise
                connection.close()  # it broke while it was idle
                connection = self._connect()
                rows = _rows(connection, sql, values)
        except psycopg.Error as error:
            connection.close()
            raise StoreError(f"the store {self._url} can't be read: {reason(error)}") from None
        self._give_back(connection)
        return rows

    def _take(self) -> tuple[Connected, bool]:
        with self._lock:
            if self._closed:
                raise StoreError(f"the store {self._url} is closed")
            if self._free:
                return self._free.pop(), False
        return self._connect(), True

    def _connect(self) -> Connected:
        try:
            return connect(self._url)
        except psycopg.Error as error:
            raise StoreError(f"the store {self._url} can't be reached: {explained(error)}") from None

    def _give_back(self, connection: Connected) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(connection)
                return
        connection.close()


def _rows(connection: Connected, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return connection.execute(sql.encode(), values, binary=True).fetchall()
