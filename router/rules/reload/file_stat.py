"""The state of a file as stat shows it; two states differ if the file was changed or replaced."""

import errno
import fcntl
import os
import signal
from pathlib import Path

from router.domain.files.trust import exposure

FileStat = tuple[int, ...]
"""Several numbers for a file; only the error's number if stat fails."""


def file_stat(path: Path) -> FileStat:
    """The state of a file; follows symlinks."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much
    except OSError as error:
        return (error.errno or 0,)
    except ValueError:  # a zero byte in the name
        return (0,)
    # The change time is included: `cp -p`, `touch -r` and rsync can set any modification time.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def secret_file_stat(path: Path) -> FileStat:
    """The state of a secret file; includes whether other users can write or replace it."""
    seen = file_stat(path)
    return (*seen, exposure(path) is not None) if exists(seen) else seen


def exists(seen: FileStat) -> bool:
    """Whether there is a file."""
    return len(seen) > 1


def is_open_for_writing(path: Path) -> bool | None:
    """Whether a program has the file open for writing; None if the system doesn't tell.

    Linux tells it for this user's files on local file systems: it grants a read lease only while no program has the
    file open for writing. The lease is returned at once.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A program that opens the file now waits for the end of the lease, and the kernel sends this process a signal.
        # Its default, SIGIO, would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False
