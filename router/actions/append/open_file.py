"""Opens the file of an append. Creates the file and its folders when they are missing."""

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path


def open_folder(base: Path, names: Sequence[str], *, follow: bool) -> int:
    """Open a folder and create what is missing. Follows symlinks below the base only with `follow`. Raises OSError."""
    missing = [folder for folder in (base, *base.parents) if not os.path.isdir(folder)]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    for name in names:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name.encode(), 0o700, dir_fd=fd)
                os.fsync(fd)
            below = os.open(name.encode(), flags, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_file(folder: int, name: str, *, follow: bool) -> int:
    """Open a regular file for appending. Create it when it is missing. Raises OSError."""
    # Without blocking, so that a FIFO without a reader is an error. A blocked thread would hang for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(name.encode(), flags, dir_fd=folder)
    except FileNotFoundError:
        fd = os.open(name.encode(), flags | os.O_CREAT, 0o600, dir_fd=folder)
        os.fsync(folder)  # so that a crash keeps the new file's name
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def is_current(folder: int, name: str, fd: int, *, follow: bool) -> bool:
    """Whether the name still leads to the open file. A log rotation may have replaced it."""
    try:
        named = os.stat(name.encode(), dir_fd=folder, follow_symlinks=follow)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))
