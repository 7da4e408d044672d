"""Cuts the writer's connection when its server receives but never answers. Nothing else would notice that."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
import structlog

from router.store.postgres.connection import Connected

STUCK_SECONDS = 30.0  #: of one transaction; then its connection is cut, since a server or a proxy may hang
WATCH_SECONDS = 1.0  #: between two checks whether it hangs

log = structlog.get_logger()

Writing = tuple[float | None, Connected | None]
"""Since when a transaction is under way (monotonic; None: none is), and its connection."""


class StuckWatch:
    """Owns a thread. `start` and `stop` belong to one thread."""

    def __init__(self, writing: Callable[[], Writing]) -> None:
        self._writing = writing
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer-watch", daemon=True)

    def start(self) -> None:
        """Watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            since, connection = self._writing()
            if since is None or connection is None or time.monotonic() - since < STUCK_SECONDS:
                continue
            with suppress(psycopg.Error, OSError):  # it may have been closed in between
                duplicate = socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
                with duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)
                log.warning("the database did not answer; its connection is cut", seconds=STUCK_SECONDS)
