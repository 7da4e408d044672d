"""The database file: who owns it, how it is opened, and which version its schema has."""

import fcntl
import os
from importlib.resources import files
from pathlib import Path

import apsw

from router.errors import StoreError, StoreInUse

SCHEMA_VERSION = 1
BUSY_MS = 5000  #: how long a statement waits for another process's transaction
_MODE = 0o600  #: events hold customers' data: for the owner only


class OwnerLock:
    """The flock that makes one daemon the owner; the kernel releases it however the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises StoreInUse."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            by = f" (process {owner})" if owner.isdigit() else ""
            store = str(path).removesuffix(".lock")
            raise StoreInUse(
                f"the store {store} is in use by another daemon{by}; stop that one, or give --store another file"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give it up. The file stays: removing it would let two owners lock two files of one name."""
        os.close(self._fd)


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """A connection with our settings; the file must exist. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_MS)
    return connection


def take(path: Path) -> OwnerLock:
    """Take a store for a daemon. Raises StoreError, naming path, cause and cure."""
    if path.is_dir():
        raise StoreError(f"the store {path} is a folder; give --store a file, such as sqlite:{path}/webhook-router.db")
    try:
        return OwnerLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise StoreError(_refusal(path, error)) from None


def _refusal(path: Path, error: OSError) -> str:
    reason = os.strerror(error.errno or 0)
    return f"the store {path} can't be opened: {reason}; its folder must exist and be writable by this user"


def prepare(path: Path, *, create: bool) -> None:
    """Make sure that the file is there, is ours to read and write, and has the current schema. Raises StoreError."""
    try:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        os.close(os.open(path, flags, _MODE))  # SQLite's own files beside it take over its mode
    except FileNotFoundError:
        raise StoreError(f"there is no store {path}; a daemon makes it when it first serves") from None
    except OSError as error:
        raise StoreError(_refusal(path, error)) from None
    try:
        connection = connect(path)
        try:
            _migrate(connection, path)
        finally:
            connection.close()
    except apsw.NotADBError:
        raise StoreError(f"{path} is no webhook-router store but some other file; give --store another name") from None
    except apsw.Error as error:
        raise StoreError(f"the store {path} can't be opened: {error}") from None


def _migrate(connection: apsw.Connection, path: Path) -> None:
    version = int(str(connection.pragma("user_version")))
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} has schema version {version}, this program knows up to {SCHEMA_VERSION}; "
            "use the newer program, or another store"
        )
    if version == SCHEMA_VERSION:
        return
    if connection.execute("SELECT count(*) FROM sqlite_schema").get:
        raise StoreError(f"{path} is a database of some other program; give --store another name")
    connection.execute("PRAGMA journal_mode = WAL")  # kept in the file from here on
    connection.execute("PRAGMA synchronous = FULL")
    with connection:
        connection.execute(files("router.store").joinpath("schema.sql").read_text())
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
