"""Folds the write-ahead log (WAL) into the database, beside the commits. The log must neither grow without limit nor
delay commits."""

import contextlib
import threading
from pathlib import Path

import apsw

from router.store.sqlite.connection import connect

PAUSE_SECONDS = 0.25  #: between two folds; short, so that each is small and its fsync delays few commits
LARGE_WAL_PAGES = 4096  #: pages (16 MiB) in the WAL; above this the writer's connection folds the rest
MOST_WAL_PAGES = 16384  #: pages (64 MiB); above this it does so even between the pieces of a large body


class Checkpointer:
    """A thread with a connection of its own. `committed` and `fold_rest` belong to the writer's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._rest_of = 0  #: pages in the WAL when the writer should fold the rest
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """Report that the WAL has new pages."""
        self._changed.set()

    def fold_rest(self, connection: apsw.Connection, *, writes_large: bool) -> None:
        """Fold the last pages of a large WAL, on the writer's connection between two batches.

        SQLite reuses the WAL only when all its pages are folded. While commits continue, the checkpointer's thread
        never gets the last pages. The fold is passive: every other mode waits for readers, and the commits would wait
        with it. With `writes_large` a large body is being written, so many pages are left; the next fold will ask
        again.
        """
        pages, self._rest_of = self._rest_of, 0
        if pages > (MOST_WAL_PAGES if writes_large else 0):
            _fold(connection)

    def close(self) -> None:
        """End the thread, after a running fold."""
        self._ended.set()
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        connection = connect(self._path)
        try:
            while True:
                self._changed.wait()
                self._changed.clear()
                if self._ended.is_set():
                    return
                # Twice: the second takes the pages written during the first, and leaves the writer few.
                if _fold(connection) > LARGE_WAL_PAGES:
                    self._rest_of = _fold(connection)
                self._ended.wait(PAUSE_SECONDS)
        finally:
            connection.close()


def _fold(connection: apsw.Connection) -> int:
    """Fold the WAL and return its number of pages; 0 when folding is impossible now. The next fold tries again."""
    with contextlib.suppress(apsw.Error):
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)[0]
    return 0
