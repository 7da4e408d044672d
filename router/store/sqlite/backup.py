"""A copy of the store as it stood in one moment, taken beside a running daemon."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from router.domain.errors import StoreError
from router.store.sqlite.file import connect, newest_version, prepare

PAGES = 256  #: copied at once (1 MiB): some milliseconds, after which the daemon gets the disk
SYNCED_STEPS = 4  #: after which the copy is put to disk: all at the end would hold up the daemon's commits
_MODE = 0o600  #: as the store itself


def backup(store: Path, copy: Path, advance: Callable[[int, int], None], *, pages: int = PAGES) -> int:
    """Copy the store to a file that must not be there yet; returns its size in bytes.

    `advance` is told how many pages are copied, of how many. Written under another name, checked, fsynced, then named:
    a copy under its own name is whole. Raises StoreError.
    """
    prepare(store, create=False, own=None)
    copy = Path(os.path.realpath(copy))
    if os.path.lexists(copy):
        raise _refused(copy, "it exists already, and a backup never overwrites; choose another name")
    draft = copy.with_name(f".{copy.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    except OSError as error:
        raise _refused(copy, f"{os.strerror(error.errno or 0)}; its folder must exist and be writable") from None
    try:
        _copy(store, draft, advance, pages)
        _check(draft, copy)
        _name(draft, copy)
        return copy.stat().st_size
    except apsw.Error as error:
        raise _refused(copy, f"{_in_words(error)}; nothing is left of it") from None
    except OSError as error:
        raise _refused(copy, f"{os.strerror(error.errno or 0)}; nothing is left of it") from None
    finally:
        for name in (draft.name, draft.name + "-wal", draft.name + "-shm", draft.name + "-journal"):
            with contextlib.suppress(OSError):
                draft.with_name(name).unlink()


def _copy(store: Path, draft: Path, advance: Callable[[int, int], None], pages: int) -> None:
    source = connect(store, readonly=True)
    target = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)
    descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    try:
        # One read transaction around all steps: else each commit of a daemon would have the copy begin anew, for ever.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # a transaction begins with its first read
        with target.backup("main", source, "main") as steps:
            for number in itertools.count(1):
                began = time.monotonic()
                steps.step(pages)
                if number % SYNCED_STEPS == 0:
                    os.fdatasync(descriptor)
                advance(steps.page_count - steps.remaining, steps.page_count)
                if steps.done:
                    break
                time.sleep(time.monotonic() - began)  # half of the disk is the daemon's
        source.execute("ROLLBACK")
        # One file, without a log beside it; a daemon that opens it makes it WAL again.
        target.pragma("journal_mode", "delete")
    finally:
        target.close()
        os.close(descriptor)
        source.close()


def _check(draft: Path, copy: Path) -> None:
    """Whether it opens, and is what we meant to write."""
    connection = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        version = connection.pragma("user_version")
        [(flaw,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    finally:
        connection.close()
    if version != newest_version() or flaw != "ok":
        raise _refused(copy, f"the copy is damaged ({flaw}); look at the store with `webhook-router store check`")


def _name(draft: Path, copy: Path) -> None:
    descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, copy)  # as a rename, but one that fails when somebody else took the name meanwhile
    except FileExistsError:
        raise _refused(copy, "it exists by now, and a backup never overwrites; choose another name") from None
    except OSError:  # a file system without links
        draft.rename(copy)
    folder = os.open(copy.parent, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _in_words(error: apsw.Error) -> str:
    """What went wrong. A step of a copy that fails has a code, but no text of its own: it says "not an error"."""
    if isinstance(error, apsw.FullError | apsw.IOError):
        return f"its disk is full, or fails ({type(error).__name__})"
    return str(error)


def _refused(copy: Path, reason: str) -> StoreError:
    return StoreError(f"the backup {copy} can't be written: {reason}")
