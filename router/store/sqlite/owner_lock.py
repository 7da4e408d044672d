"""The lock of the one daemon that owns a store."""

import fcntl
import os
import struct
import time
from pathlib import Path

from router.domain.errors import StoreError, StoreInUse
from router.store.sqlite.file_trust import check_lock_file

LOCK_SUFFIX = ".lock"  #: of the lock file's name, after the store's
_MODE = 0o600  #: as the store itself
_LOCKED_BYTE = 1 << 60  #: a byte of the store's file; SQLite's files end at 2^48 bytes
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PEEK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LOCK_SECONDS = 0.2  #: how long a daemon tries to lock; `owner_of` holds the lock for some microseconds


class OwnerLock:
    """Two locks of the daemon that owns a store. The kernel releases them however the process ends.

    The first is a flock on a file beside the store, which names the owner's process. The second is on the store's own
    file, so that nobody can start a second daemon by removing the lock file.
    """

    def __init__(self, path: Path) -> None:
        """Take the first lock. Raises StoreInUse, StoreError, or OSError."""
        self._path = path
        self._store_fd: int | None = None
        self._fd = os.open(path, _LOCK_FLAGS, _MODE)
        try:
            check_lock_file(self._fd, path)
            _flock(self._fd)
        except BlockingIOError:
            owner = _owner_in(self._fd)
            os.close(self._fd)
            raise _in_use(path, f" (process {owner})" if owner else "") from None
        except (OSError, StoreError):  # for example a file system without locks
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def hold(self, store: Path) -> None:
        """Take the second lock, on the store's file, which must exist. Raises StoreInUse, or OSError.

        Call this before SQLite opens the file in this process: closing any descriptor of the file drops SQLite's own
        locks.
        """
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return  # a system without such locks relies on the first lock
        fd = os.open(store, os.O_RDWR | os.O_CLOEXEC)
        # This lock belongs to the descriptor, so it survives when SQLite closes other descriptors (fcntl(2), "Open file
        # description locks"). It is on a byte that no database reaches; SQLite locks some bytes at 1 GiB.
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            os.close(fd)
            raise _in_use(self._path, ", though its lock's file was removed") from None
        except OSError:  # a file system without such locks relies on the first lock
            os.close(fd)
        else:
            self._store_fd = fd

    def release(self) -> None:
        """Release both locks after SQLite has closed the store. The lock file stays."""
        if self._store_fd is not None:
            os.close(self._store_fd)
        os.close(self._fd)


def owner_of(store: Path) -> int | None:
    """The process of the daemon that owns the store; 0 when its number is unreadable, None without an owner.

    Raises OSError.
    """
    store = Path(os.path.realpath(store))
    try:
        fd = os.open(store.with_name(store.name + LOCK_SUFFIX), _PEEK_FLAGS)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner_in(fd)
    finally:
        os.close(fd)
    return None


def _owner_in(fd: int) -> int:
    owner = os.pread(fd, 20, 0).decode(errors="replace").strip()
    return int(owner) if owner.isdigit() else 0


def _flock(fd: int) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_SECONDS / 20)


def _in_use(lock: Path, detail: str) -> StoreInUse:
    store = str(lock).removesuffix(LOCK_SUFFIX)
    return StoreInUse(
        f"the store {store} is in use by another daemon{detail}; stop that one, or give --store another file"
    )
