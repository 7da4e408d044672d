"""Locks polled sources, so that a command and a daemon never poll one at the same time."""

import fcntl
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

from router.store.sqlite.owner_lock import LOCK_SUFFIX

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FIRST = 1 << 40  #: of the locked bytes; the file is never that large


def hold_poll(store: Path, source: str) -> Callable[[], None] | None:
    """Lock a source. Returns the function that releases it; None while another process polls it.

    The kernel releases the lock too, however the process ends. On systems without such locks nothing is locked; the
    store then accepts one of two answers.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return _nothing
    real = Path(os.path.realpath(store))
    try:
        fd = os.open(real.with_name(real.name + LOCK_SUFFIX), _FLAGS)
    except OSError:  # no daemon has used this store yet
        return _nothing
    at = _FIRST + int.from_bytes(hashlib.sha256(source.encode()).digest()[:5], "big")
    try:
        # A lock of this descriptor alone, so that other threads and SQLite don't release it (fcntl(2)).
        _set(fd, fcntl.F_WRLCK, at)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        return _nothing
    return lambda: _release(fd, at)


def _release(fd: int, at: int) -> None:
    _set(fd, fcntl.F_UNLCK, at)  # closing is not enough: a forked process may have the descriptor too
    os.close(fd)


def _set(fd: int, kind: int, at: int) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, at, 1, 0))


def _nothing() -> None:
    """Release nothing."""
