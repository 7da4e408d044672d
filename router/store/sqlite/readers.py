"""Reading connections, one a thread: a query waits for no other, and none for a commit."""

import threading
import weakref
from pathlib import Path
from typing import Any

import apsw

from router.domain.errors import StoreError
from router.store.sqlite.file import cause_of, connect

_HEARD_SECONDS = 0.02  #: how long a query gets to end by itself, and an interrupt to be heard


class _Reader:
    """One thread's connection; the lock is held during a query, so that `close` never takes it away under one."""

    __slots__ = ("__weakref__", "connection", "lock")

    def __init__(self, path: Path) -> None:
        self.connection = connect(path, readonly=True)
        self.lock = threading.Lock()


class Readers:
    """Every thread's reading connection. Any thread may call `read` and `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._all: weakref.WeakSet[_Reader] = weakref.WeakSet()  # a thread that ends takes its connection along
        self._lock = threading.Lock()
        self._closed = False

    def read(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query. Raises StoreError."""
        try:
            reader = self._mine()
            with reader.lock:
                self._check_open()  # `close` may have come between
                return reader.connection.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            self._check_open()  # closing interrupts what runs
            raise StoreError(f"the store {self._path} can't be read: {cause_of(error)}") from None

    def close(self) -> None:
        """Interrupt what runs, then close every connection. Nothing is read from here on."""
        with self._lock:
            self._closed = True
            readers = list(self._all)
        for reader in readers:
            # An interrupt that comes just before a query begins does not end it, so it is said until it is heard.
            while not reader.lock.acquire(timeout=_HEARD_SECONDS):
                reader.connection.interrupt()
            reader.connection.close()
            reader.lock.release()

    def _mine(self) -> _Reader:
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            with self._lock:
                self._check_open()
                reader = self._local.reader = _Reader(self._path)
                self._all.add(reader)
        return reader

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self._path} is closed")
