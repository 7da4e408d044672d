"""Opens connections to a store's file, all with the same settings."""

from pathlib import Path

import apsw

BUSY_MS = 5000  #: how long a statement waits for another process's transaction


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """Open a connection; the file must exist. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_MS)
    # Plans don't depend on bound values. Otherwise each new time in a claim would have its statement planned again.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("PRAGMA temp_store = MEMORY")  # statements that change several rows keep a journal of their own
    connection.execute("PRAGMA synchronous = FULL")  # a commit is reported as durable
    return connection


def cause_of(error: apsw.Error) -> str:
    """SQLite's message, with the cure for a damaged file."""
    cure = "; `webhook-router store check` tells what is wrong" if isinstance(error, apsw.CorruptError) else ""
    return f"{error}{cure}"
