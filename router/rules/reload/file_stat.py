"""What a look at a file's name shows without opening the file; whatever is done to the file shows as a difference."""

import errno
import fcntl
import os
import signal
from pathlib import Path

from router.domain.files.trust import exposure

FileStat = tuple[int, ...]
"""Of a file: more than one number. Of one that can't be seen: the error's number alone."""


def file_stat(path: Path) -> FileStat:
    """Look at a name, through symlinks."""
    try:
        found = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much
    except OSError as error:
        return (error.errno or 0,)
    except ValueError:  # a zero byte in the name
        return (0,)
    # The change time as well: `cp -p`, `touch -r` and rsync set the modification time to what they like.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def secret_file_stat(path: Path) -> FileStat:
    """Look at a secret file: whether others can write it, or replace it, shows as a difference too."""
    seen = file_stat(path)
    return (*seen, exposure(path) is not None) if exists(seen) else seen


def exists(seen: FileStat) -> bool:
    """Whether there was something to see."""
    return len(seen) > 1


def is_open_for_writing(path: Path) -> bool | None:
    """Whether some program has it open for writing; none: the system doesn't tell.

    Linux tells it for files of local file systems that are this user's: a lease for reading is granted only while
    nobody writes. It is given back at once.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Somebody who opens it in this very moment waits for the lease's end, and the kernel tells us by a signal:
        # by default SIGIO, which would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False
