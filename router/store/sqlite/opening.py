"""Opens a store's file. The owner locks, creates and migrates it; all others only check it."""

import os
from pathlib import Path

import apsw

from router.domain.errors import StoreError
from router.store.sqlite.connection import cause_of, connect
from router.store.sqlite.file_trust import check_files
from router.store.sqlite.owner_lock import LOCK_SUFFIX, OwnerLock
from router.store.sqlite.schema import migrate, newest_version, version_of

_MODE = 0o600  #: only for the owner: events hold customers' data


def lock_store(path: Path) -> OwnerLock:
    """Take the owner's lock for a daemon. Raises StoreError, naming path, cause and cure."""
    if os.path.isdir(path):
        raise StoreError(f"the store {path} is a folder; give --store a file, such as sqlite:{path}/webhook-router.db")
    try:
        check_files(path)
        return OwnerLock(path.with_name(path.name + LOCK_SUFFIX))
    except OSError as error:
        raise StoreError(_cannot_open(path, error)) from None


def prepare_owned(path: Path, lock: OwnerLock) -> None:
    """Make sure that the file exists, is readable and writable, and has the current schema.

    Raises StoreError, or StoreInUse.
    """
    _open_file(path, os.O_CREAT | os.O_NOFOLLOW)
    try:
        lock.hold(path)
    except OSError as error:
        raise StoreError(_cannot_open(path, error)) from None
    try:
        connection = connect(path)
        try:
            migrate(connection, path, version_of(connection, path))
        finally:
            connection.close()
    except apsw.Error as error:
        raise _sqlite_refusal(path, error) from None


def check_existing(path: Path) -> None:
    """Make sure that the file is a store with the current schema. Raises StoreError.

    Only the owner migrates a store: a running daemon of another version must not find its schema changed.
    """
    _open_file(path)
    try:
        connection = connect(path)
        try:
            version = version_of(connection, path)
        finally:
            connection.close()
    except apsw.Error as error:
        raise _sqlite_refusal(path, error) from None
    if version == 0:
        raise _no_store(path)
    if version < newest_version():
        raise StoreError(
            f"the store {path} has schema version {version}, this program needs {newest_version()}; "
            "start its daemon once with this program"
        )


def _open_file(path: Path, more_flags: int = 0) -> None:
    """Open and close the file, which explains an error better than SQLite does. Raises StoreError."""
    try:
        # SQLite's own files beside the store get its mode.
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | more_flags, _MODE))
    except FileNotFoundError:
        raise _no_store(path) from None
    except OSError as error:
        raise StoreError(_cannot_open(path, error)) from None


def _sqlite_refusal(path: Path, error: apsw.Error) -> StoreError:
    if isinstance(error, apsw.NotADBError):
        return StoreError(f"{path} is not a webhook-router store but another file; give --store another name")
    return StoreError(f"the store {path} can't be opened: {cause_of(error)}")


def _cannot_open(path: Path, error: OSError) -> str:
    reason = os.strerror(error.errno or 0)
    if isinstance(error, PermissionError):
        for file in (path, path.with_name(path.name + LOCK_SUFFIX)):
            # For example a backup that root has put there.
            exists, usable = (os.access(file, mode, effective_ids=True) for mode in (os.F_OK, os.R_OK | os.W_OK))
            if exists and not usable:
                reason = f"{reason}; {file} belongs to another user: chown it to this one"
                return f"the store {path} can't be opened: {reason}"
    return f"the store {path} can't be opened: {reason}; its folder must exist and be writable by this user"


def _no_store(path: Path) -> StoreError:
    return StoreError(f"there is no store {path}; a daemon makes it when it first serves")
