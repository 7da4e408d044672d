"""Connections for reading, one for each thread. A query waits neither for another query nor for a commit."""

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from router.domain.errors import StoreError
from router.store.sqlite.connection import cause_of, connect
from router.store.sqlite.rows import with_body

_INTERRUPT_SECONDS = 0.02  #: how long a query may take to end by itself, or after an interrupt


class _Reader:
    """One thread's connection. The lock is held during a query, so that `close` waits for the query's end."""

    __slots__ = ("__weakref__", "connection", "lock")

    def __init__(self, path: Path) -> None:
        self.connection = connect(path, readonly=True)
        self.lock = threading.Lock()


_readers: weakref.WeakValueDictionary[int, _Reader] = weakref.WeakValueDictionary()  #: all of this process, by id
_forked: list[_Reader | None] = []  #: during a fork, and in the forked process

# A forked process has one thread, and at once drops what belonged to the others. It must not close their connections: a
# thread that it does not have may hold a lock of SQLite, and it would wait for that for ever.
os.register_at_fork(
    before=lambda: _forked.extend(reference() for reference in _readers.valuerefs()), after_in_parent=_forked.clear
)


class ReadConnections:
    """A connection for each thread that reads. Any thread may call `read` and `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: weakref.WeakSet[_Reader] = weakref.WeakSet()  # a thread that ends closes its connection
        self._lock = threading.Lock()
        self._closed = False

    def read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query. Raises StoreError."""
        return self._query(lambda connection: connection.execute(sql, bindings).fetchall())

    def read_events(self, sql: str, bindings: tuple[Any, ...], start: int = 0) -> list[tuple[Any, ...]]:
        """All rows of one query that has EVENT_COLUMNS from column `start` on, with their bodies. Raises StoreError."""
        return self._query(lambda connection: _events(connection, sql, bindings, start))

    def _query(self, query: Callable[[apsw.Connection], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        try:
            reader = self._own()
            with reader.lock:
                self._check_open()  # `close` may have run in between
                return query(reader.connection)
        except apsw.Error as error:
            self._check_open()  # `close` interrupts running queries
            raise StoreError(f"the store {self._path} can't be read: {cause_of(error)}") from None

    def close(self) -> None:
        """Interrupt the running queries, then close every connection. Later reads fail."""
        with self._lock:
            self._closed = True
            readers = list(self._all)
        for reader in readers:
            # An interrupt just before a query begins has no effect, so it is repeated until the query has ended.
            while not reader.lock.acquire(timeout=_INTERRUPT_SECONDS):
                reader.connection.interrupt()
            reader.connection.close()
            reader.lock.release()

    def _own(self) -> _Reader:
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            with self._lock:
                self._check_open()
                reader = self._local.reader = _Reader(self._path)
                self._all.add(reader)
                _readers[id(reader)] = reader
        return reader

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self._path} is closed")


def _events(connection: apsw.Connection, sql: str, bindings: tuple[Any, ...], start: int) -> list[tuple[Any, ...]]:
    events: list[tuple[Any, ...]] = []
    with connection:  # one state of the store: retention may remove an event with its pieces
        rows = connection.execute(sql, bindings).fetchall()
        events += [with_body(connection, row, start) for row in rows]
    return events
