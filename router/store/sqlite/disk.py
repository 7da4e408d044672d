"""A store's file on its disk: its identity, its size, and the free space."""

import os
from pathlib import Path

from router.store.contract import StoreSize

FileIdentity = tuple[int, int]
"""Device and inode."""


def size_of(path: Path) -> StoreSize:
    """The size of the store and the free space. Raises OSError."""
    path = Path(os.path.realpath(path))
    try:
        log = path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        log = 0
    return StoreSize(path.stat().st_size, log, free_bytes(path))


def free_bytes(path: Path) -> int:
    """Bytes that are free for this user on the store's disk. Raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def file_identity(path: Path) -> FileIdentity | None:
    """The identity of the file behind a name; None when there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
