"""The database file: who owns it, how it is opened, and which version its schema has."""

import fcntl
import os
import stat
import struct
import time
from importlib.resources import files
from pathlib import Path

import apsw

from router.domain.errors import StoreError, StoreInUse
from router.domain.files.own import planted, planted_at
from router.domain.files.trust import is_trusted_user

BUSY_MS = 5000  #: how long a statement waits for another process's transaction
_MODE = 0o600  #: events hold customers' data: for the owner only
_TABLES = ("attempt", "dedupe", "delivery", "event", "ruleset")
_LOCKED_BYTE = 1 << 60  #: of the store's file, which SQLite lets grow to 2^48 bytes
_LOCK_BYTES = 32  #: that a lock's file has at the most: a process's number and a line's end
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PEEK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LOCK_SECONDS = 0.2  #: how long an owner tries: `owner_of` holds the lock for some microseconds


def _script(name: str) -> str:
    return files("router.store.sqlite").joinpath(name).read_text()


#: SQL that takes version 1, which is schema.sql, to 2, then 2 to 3, and so on
_MIGRATIONS = (_script("schema_2.sql"), _script("schema_3.sql"))


class OwnerLock:
    """The locks that make one daemon the owner; the kernel releases them however the process ends.

    A flock on a file beside the store, which says who the owner is, and a lock on the store's own file: whoever tidies
    up the first file lets nobody else in, and without the second a daemon has nothing to serve.
    """

    def __init__(self, path: Path) -> None:
        """Take the first lock. Raises StoreInUse."""
        self._path = path
        self._store_fd: int | None = None
        self._fd = os.open(path, _LOCK_FLAGS, _MODE)
        try:
            _check_lock(self._fd, path)
            _lock_soon(self._fd)
        except BlockingIOError:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            by = f" (process {owner})" if owner.isdigit() else ""
            raise _in_use(path, by) from None
        except (OSError, StoreError):  # such as a file system without locks
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def hold(self, store: Path) -> None:
        """Take the second lock, on a file that is there. Raises StoreInUse, or OSError.

        Before this process has SQLite open the file: closing any descriptor of it drops all locks of SQLite's own.
        """
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return  # a system on which the first has to do
        fd = os.open(store, os.O_RDWR | os.O_CLOEXEC)
        # It belongs to the descriptor, so that SQLite's closing of others leaves it alone (fcntl(2), "Open file
        # description locks"), and to a byte that no database reaches, so that SQLite, which locks some at 1 GiB,
        # doesn't meet it.
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            os.close(fd)
            raise _in_use(self._path, ", though its lock's file was removed") from None
        except OSError:  # a file system without such locks, where the first has to do
            os.close(fd)
        else:
            self._store_fd = fd

    def release(self) -> None:
        """Give them up, once SQLite has closed the store. The file stays: removing it is what the second is for."""
        if self._store_fd is not None:
            os.close(self._store_fd)
        os.close(self._fd)


def _check_lock(fd: int, path: Path) -> None:
    """Raise StoreError for what no daemon made; it would be emptied next."""
    found = os.fstat(fd)
    reason = planted(found)
    if reason is None and found.st_size > _LOCK_BYTES:
        reason = "it is some other file"
    if reason is not None:
        raise _not_ours(path, reason)


def check_link(path: Path) -> None:
    """Raise StoreError when a store's name is a link that another user made: it may lead to any file of ours."""
    try:
        found = path.lstat()
    except OSError:
        return  # opening it will say so
    if stat.S_ISLNK(found.st_mode) and not is_trusted_user(found.st_uid):
        raise _not_ours(path, "it is a link that another user made")


def _not_ours(path: Path, reason: str) -> StoreError:
    cure = "chown it to this one" if "another user's" in reason else "remove it, if it is not yours"
    return StoreError(f"{path} can't be trusted: {reason}; {cure}, and put the store where only its user can write")


def _check_files(path: Path) -> None:
    """Raise StoreError for a store, or a file that SQLite keeps beside it, that no daemon of this user made."""
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        reason = planted_at(file)
        if reason is not None:
            raise _not_ours(file, reason)


def _in_use(lock: Path, by: str) -> StoreInUse:
    store = str(lock).removesuffix(".lock")
    return StoreInUse(f"the store {store} is in use by another daemon{by}; stop that one, or give --store another file")


def _lock_soon(fd: int) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_SECONDS / 20)


def owner_of(path: Path) -> int | None:
    """The process of the daemon that owns the store; none when none does. Raises OSError."""
    path = Path(os.path.realpath(path))
    try:
        fd = os.open(path.with_name(path.name + ".lock"), _PEEK_FLAGS)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 20, 0).decode(errors="replace").strip()
        return int(owner) if owner.isdigit() else 0
    finally:
        os.close(fd)
    return None


def disk_usage(path: Path) -> tuple[int, int]:
    """Bytes of the store and of its write-ahead log. Raises OSError."""
    path = Path(os.path.realpath(path))
    try:
        log = path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        log = 0
    return path.stat().st_size, log


def disk_free(path: Path) -> int:
    """Bytes that the store's disk has left for us. Raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def connect(path: Path, *, readonly: bool = False) -> apsw.Connection:
    """A connection with our settings; the file must exist. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_MS)
    # Plans don't hang on bound values, or each new time that a claim asks with would have its statement planned anew.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("PRAGMA temp_store = MEMORY")  # statements that change several rows keep a journal of their own
    connection.execute("PRAGMA synchronous = FULL")  # every commit is one that somebody was told of
    return connection


def take(path: Path) -> OwnerLock:
    """Take a store for a daemon. Raises StoreError, naming path, cause and cure."""
    if os.path.isdir(path):
        raise StoreError(f"the store {path} is a folder; give --store a file, such as sqlite:{path}/webhook-router.db")
    try:
        _check_files(path)
        return OwnerLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise StoreError(_refusal(path, error)) from None


def _refusal(path: Path, error: OSError) -> str:
    reason = os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        for file in (path, path.with_name(path.name + ".lock")):
            # Such as a backup that root has put there.
            there, ours = (os.access(file, mode, effective_ids=True) for mode in (os.F_OK, os.R_OK | os.W_OK))
            if there and not ours:
                reason = f"{reason}; {file} belongs to another user: chown it to this one"
                return f"the store {path} can't be opened: {reason}"
    return f"the store {path} can't be opened: {reason}; its folder must exist and be writable by this user"


def prepare(path: Path, *, create: bool, own: OwnerLock | None) -> None:
    """Make sure that the file is there, is ours to read and write, and has the current schema. Raises StoreError, or
    StoreInUse.

    Only an owner changes it: beside a running daemon of another version nobody may migrate its store.
    """
    try:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_CREAT | os.O_NOFOLLOW if create else 0)
        os.close(os.open(path, flags, _MODE))  # SQLite's own files beside it take over its mode
        if own is not None:
            own.hold(path)
    except FileNotFoundError:
        raise _no_store(path) from None
    except OSError as error:
        raise StoreError(_refusal(path, error)) from None
    try:
        connection = connect(path)
        try:
            version = _version(connection, path)
            if version == 0 and not create:
                raise _no_store(path)
            if own is not None:
                _migrate(connection, path, version)
            elif version < newest_version():
                raise StoreError(
                    f"the store {path} has schema version {version}, this program needs {newest_version()}; "
                    "start its daemon once with this program"
                )
        finally:
            connection.close()
    except apsw.NotADBError:
        raise StoreError(f"{path} is no webhook-router store but some other file; give --store another name") from None
    except apsw.Error as error:
        raise StoreError(f"the store {path} can't be opened: {cause_of(error)}") from None


def cause_of(error: apsw.Error) -> str:
    """SQLite's words for what went wrong, and what to do where it is damage."""
    cure = "; `webhook-router store check` tells what is wrong" if isinstance(error, apsw.CorruptError) else ""
    return f"{error}{cure}"


def newest_version() -> int:
    """The schema version that this program works with."""
    return 1 + len(_MIGRATIONS)


def _no_store(path: Path) -> StoreError:
    return StoreError(f"there is no store {path}; a daemon makes it when it first serves")


def _version(connection: apsw.Connection, path: Path) -> int:
    """The schema version, 0 for an empty file. Raises StoreError for what is not ours or too new."""
    version = int(str(connection.pragma("user_version")))
    tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    # Other programs count in user_version as well, so the tables have to agree.
    if tables and not (version > 0 and tables.issuperset(_TABLES)):
        raise StoreError(f"{path} is a database of some other program; give --store another name")
    if version > newest_version():
        raise StoreError(
            f"the store {path} has schema version {version}, this program knows up to {newest_version()}; "
            "use the newer program, or another store"
        )
    return version if tables else 0


def _migrate(connection: apsw.Connection, path: Path, version: int) -> None:
    """Step by step, each with its version in one transaction: a crash leaves a whole version, and the next go on."""
    mode = connection.pragma("journal_mode", "wal")  # kept in the file, but a copy made elsewhere may have lost it
    if mode != "wal":
        raise StoreError(f"the store {path} can't use a write-ahead log; put it on a local file system")
    if version == 0:
        version = 1
        _apply(connection, _script("schema.sql"), version)
    for number, step in enumerate(_MIGRATIONS, start=2):
        if version < number:
            _apply(connection, step, number)


def _apply(connection: apsw.Connection, script: str, version: int) -> None:
    with connection:
        connection.execute(script)
        connection.pragma("user_version", version)
