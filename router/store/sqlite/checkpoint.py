"""Folds the write-ahead log (WAL) into the database beside the commits: it must neither grow on nor delay them."""

import contextlib
import threading
from pathlib import Path

import apsw

from router.store.sqlite.connection import connect

PAUSE_SECONDS = 0.25  #: between two folds; short, so that each is small and its fsync delays few commits
LARGE_WAL_PAGES = 4096  #: pages (16 MiB) in the WAL, from which on the writer's connection folds the rest
_REST_PAGES = 256  #: of a rest that the writer folds in a millisecond or two
_FOLDS = 6  #: at most before the rest; while large bodies are written, each leaves more than that


class Checkpointer:
    """A thread with a connection of its own. `committed` and `fold_rest` belong to the writer's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._rest_wanted = False
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """Say that the WAL has new pages."""
        self._changed.set()

    def fold_rest(self, connection: apsw.Connection) -> None:
        """Fold the last pages of a large WAL, on the writer's connection between two batches.

        SQLite reuses the WAL only when all its pages are folded. While commits go on, the checkpointer's thread never
        gets the last pages. Passive, because every other mode waits for readers, and the commits would wait with it.
        """
        if self._rest_wanted:
            self._rest_wanted = False
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
                self._rest_wanted = _fold_most(connection)
                self._ended.wait(PAUSE_SECONDS)
        finally:
            connection.close()


def _fold_most(connection: apsw.Connection) -> bool:
    """Fold; whether the WAL is large, so that the writer should fold the few pages that are left."""
    in_log, folded = _fold(connection)
    for _ in range(_FOLDS):
        if in_log <= LARGE_WAL_PAGES:
            return False
        # Once more: it takes the pages that were written during the one before.
        before = folded
        in_log, folded = _fold(connection)
        if folded - before <= _REST_PAGES:
            break
    return in_log > LARGE_WAL_PAGES


def _fold(connection: apsw.Connection) -> tuple[int, int]:
    """Fold; gives the pages in the WAL, and how many of them are folded. Zeros when it can't be folded now."""
    with contextlib.suppress(apsw.Error):
        return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    return 0, 0
