"""Backs up a store: a consistent copy, with or without a running daemon."""

import contextlib
import itertools
import os
import time
from pathlib import Path

import apsw

from router.domain.errors import StoreError
from router.store.contract import Progress
from router.store.sqlite.connection import connect
from router.store.sqlite.opening import check_existing
from router.store.sqlite.schema import newest_version

PAGES = 256  #: copied in one step (1 MiB), which takes some milliseconds; then the daemon may use the disk
SYNCED_STEPS = 4  #: after which the copy is synced; one sync at the end would delay the daemon's commits
_MODE = 0o600  #: as the store itself


def backup(store: Path, copy: Path, progress: Progress, *, pages: int = PAGES) -> int:
    """Copy the store to a file that must not exist yet; returns its size in bytes.

    `progress` gets the number of copied pages and of all pages. The copy is written under another name, checked, synced
    and then renamed: a file with the given name is complete. Raises StoreError.
    """
    check_existing(store)
    copy = Path(os.path.realpath(copy))
    if os.path.lexists(copy):
        raise _failure(copy, "it exists already, and a backup never overwrites; choose another name")
    draft = copy.with_name(f".{copy.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    except OSError as error:
        raise _failure(copy, f"{os.strerror(error.errno or 0)}; its folder must exist and be writable") from None
    try:
        _copy(store, draft, progress, pages)
        check_copy(draft, copy)
        name_copy(draft, copy)
        return copy.stat().st_size
    except apsw.Error as error:
        raise _failure(copy, f"{_cause(error)}; nothing is left of it") from None
    except OSError as error:
        raise _failure(copy, f"{os.strerror(error.errno or 0)}; nothing is left of it") from None
    finally:
        for name in (draft.name, draft.name + "-wal", draft.name + "-shm", draft.name + "-journal"):
            with contextlib.suppress(OSError):
                draft.with_name(name).unlink()


def _copy(store: Path, draft: Path, progress: Progress, pages: int) -> None:
    source = connect(store, readonly=True)
    target = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
    descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    try:
        # One read transaction around all steps. Without it each commit of the daemon would restart the copy.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # a transaction begins with its first read
        with target.backup("main", source, "main") as steps:
            for number in itertools.count(1):
                began = time.monotonic()
                steps.step(pages)
                if number % SYNCED_STEPS == 0:
                    os.fdatasync(descriptor)
                progress(steps.page_count - steps.remaining, steps.page_count)
                if steps.done:
                    break
                time.sleep(time.monotonic() - began)  # leaves half of the disk's time to the daemon
        source.execute("ROLLBACK")
        # One file, without a write-ahead log beside it. A daemon that opens it turns the log on again.
        target.pragma("journal_mode", "delete")
    finally:
        target.close()
        os.close(descriptor)
        source.close()


def check_copy(draft: Path, copy: Path) -> None:
    """Raise StoreError unless the copy opens, has the current schema and is sound."""
    connection = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        version = connection.pragma("user_version")
        [(flaw,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    finally:
        connection.close()
    if version != newest_version() or flaw != "ok":
        raise _failure(copy, f"the copy is damaged ({flaw}); look at the store with `webhook-router store check`")


def name_copy(draft: Path, copy: Path) -> None:
    """Sync a complete copy and give it its name, unless that name is taken. Raises StoreError, OSError."""
    descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, copy)  # like a rename, but it fails when the name exists
    except FileExistsError:
        raise _failure(copy, "it exists by now, and a backup never overwrites; choose another name") from None
    except OSError:  # a file system without links
        draft.rename(copy)
    folder = os.open(copy.parent, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _cause(error: apsw.Error) -> str:
    """The cause of a failed step. Such an error has a code, but its text says "not an error"."""
    if isinstance(error, apsw.FullError | apsw.IOError):
        return f"its disk is full, or fails ({type(error).__name__})"
    return str(error)


def _failure(copy: Path, reason: str) -> StoreError:
    return StoreError(f"the backup {copy} can't be written: {reason}")
