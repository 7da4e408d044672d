"""Refuses files of a store that another user may have put in place of the daemon's own."""

import os
import stat
from pathlib import Path

from router.domain.errors import StoreError
from router.domain.files.planted import planted, planted_at
from router.domain.files.trust import is_trusted_user

_LOCK_BYTES = 32  #: most bytes of a lock file: a process number and a line end


def check_link(path: Path) -> None:
    """Raise StoreError when the store's name is another user's symlink: it may lead to any file of this user."""
    try:
        found = path.lstat()
    except OSError:
        return  # opening the store reports it
    if stat.S_ISLNK(found.st_mode) and not is_trusted_user(found.st_uid):
        raise _untrusted(path, "it is a link that another user made")


def check_files(path: Path) -> None:
    """Raise StoreError when the store, or one of SQLite's files beside it, was not made by a daemon of this user."""
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        reason = planted_at(file)
        if reason is not None:
            raise _untrusted(file, reason)


def check_lock_file(descriptor: int, path: Path) -> None:
    """Raise StoreError when an open lock file was not made by a daemon, since the daemon would empty it."""
    found = os.fstat(descriptor)
    reason = planted(found)
    if reason is None and found.st_size > _LOCK_BYTES:
        reason = "it is some other file"
    if reason is not None:
        raise _untrusted(path, reason)


def _untrusted(path: Path, reason: str) -> StoreError:
    cure = "chown it to this one" if "another user's" in reason else "remove it, if it is not yours"
    return StoreError(f"{path} can't be trusted: {reason}; {cure}, and put the store where only its user can write")
