"""Folding the WAL into the database beside the commits: it may neither grow without bound nor delay them."""

import contextlib
import threading
from pathlib import Path

import apsw

from router.store.sqlite.file import connect

PAUSE_SECONDS = 0.25  #: between two folds; short, so that each is small and its fsync delays few commits
TAIL_FRAMES = 4096  #: pages (16 MiB) in the WAL from which the writer is asked to let it start over


class Checkpointer:
    """A thread with a connection of its own. `committed` and `tail` belong to the writer's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._news = threading.Event()
        self._ended = threading.Event()
        self._tail_wanted = False
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """There is something to fold."""
        self._news.set()

    def tail(self, connection: apsw.Connection) -> None:
        """Fold what is left, on the writer's connection between two batches.

        SQLite reuses the WAL only once every page of it is folded, and beside constant writing our thread never gets
        the last ones. Passive, because every other mode waits for readers, and all commits would wait with it.
        """
        if self._tail_wanted:
            self._tail_wanted = False
            _fold(connection)

    def close(self) -> None:
        """End the thread, after a fold that may be under way."""
        self._ended.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        connection = connect(self._path)
        try:
            while True:
                self._news.wait()
                self._news.clear()
                if self._ended.is_set():
                    return
                # Twice: the second takes what was written during the first, and leaves the writer a short tail.
                if _fold(connection) > TAIL_FRAMES:
                    _fold(connection)
                    self._tail_wanted = True
                self._ended.wait(PAUSE_SECONDS)
        finally:
            connection.close()


def _fold(connection: apsw.Connection) -> int:
    """How many pages the WAL has; none when it could not be folded just now: the next fold will do."""
    with contextlib.suppress(apsw.Error):
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)[0]
    return 0
