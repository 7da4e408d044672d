"""Appends one line to a file: whole, synced, and under the file's lock."""

import contextlib
import errno
import os

from router.actions.append.file_lock import lock, turn_at
from router.actions.append.last_line import mend_last_line
from router.actions.append.open_file import is_current, open_file, open_folder
from router.actions.append.output_file import OutputFile
from router.domain.files.protected import ProtectedPathError, refusal

_REOPENINGS = 10  #: how often a rotation may replace the file between opening and locking


def append_line(file: OutputFile, data: bytes, is_record: bool, deadline: float) -> None:
    """Append the data under the file's lock. When this returns, all of it is on disk.

    `is_record`: the line is a JSON record of the event. `deadline` (monotonic seconds) limits the wait for the locks.
    Raises OSError (TimeoutError is one) and ProtectedPathError.
    """
    guard = file.guard
    if guard.templated and (what := guard.paths.reachable_from(file.base)) is not None:
        raise ProtectedPathError(refusal(what))
    with turn_at(file.path, deadline):
        for number in range(1, _REOPENINGS + 1):
            try:
                if _append_once(file, data, is_record=is_record, deadline=deadline):
                    return
            except FileNotFoundError:
                # Another program may remove the folder at any moment. The next try makes it again.
                if number == _REOPENINGS:
                    raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _append_once(file: OutputFile, data: bytes, *, is_record: bool, deadline: float) -> bool:
    """Append once. False when a rotation has replaced the file."""
    paths, follow = file.guard.paths, file.follow_symlinks
    with contextlib.ExitStack() as opened:
        folder = open_folder(file.base, file.folders, follow=follow)
        opened.callback(os.close, folder)
        paths.check_entry(folder, file.name, templated=file.guard.templated, follow=follow)
        fd = open_file(folder, file.name, follow=follow)
        opened.callback(os.close, fd)
        # Check the open file, not its name: a rename or a link can't change which file it is.
        paths.check_file(fd)
        lock(fd, deadline)
        if not is_current(folder, file.name, fd, follow=follow):
            return False
        size, end = _write(fd, data, is_record=is_record)
        # A rotation ignores the lock. If it came in between, the new file lacks the line: write it again.
        if not is_current(folder, file.name, fd, follow=follow) or os.fstat(fd).st_size < end:
            return False
        _sync(fd, size, end)
    return True


def _write(fd: int, data: bytes, *, is_record: bool) -> tuple[int, int]:
    """Write all of the data or nothing. Returns the file's size before, and where the new data ends. Raises OSError."""
    size, mended = mend_last_line(fd, data, is_record=is_record)
    left = memoryview(mended)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        _take_back(fd, size, size + len(mended) - len(left))
        raise
    return size, os.lseek(fd, 0, os.SEEK_CUR)


def _sync(fd: int, size: int, end: int) -> None:
    try:
        os.fsync(fd)
    except OSError:
        _take_back(fd, size, end)
        raise


def _take_back(fd: int, size: int, end: int) -> None:
    """Cut off a partial write, unless another program has written after it. A missing line is better than half a
    line."""
    with contextlib.suppress(OSError):
        if os.fstat(fd).st_size == end:
            os.ftruncate(fd, size)
