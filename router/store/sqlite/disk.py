"""A store's file on its disk: which file it is, the room it takes, and the room left."""

import os
from pathlib import Path

from router.store.contract import StoreSize

FileIdentity = tuple[int, int]
"""Device and inode."""


def size_of(path: Path) -> StoreSize:
    """The room that the store takes, and has left. Raises OSError."""
    path = Path(os.path.realpath(path))
    try:
        log = path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        log = 0
    return StoreSize(path.stat().st_size, log, free_bytes(path))


def free_bytes(path: Path) -> int:
    """Bytes that the store's disk has left for this user. Raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def file_identity(path: Path) -> FileIdentity | None:
    """The file that a name leads to; None when it leads to no visible file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
