"""Mends a last line without a line end: a crash tore it, or another program wrote it so."""

import os

from router.actions.append.record import BEGINNING_BYTES, begins_like_a_record, is_whole

_CHUNK_BYTES = 64 * 1024


def mend_last_line(fd: int, data: bytes, *, is_record: bool) -> tuple[int, bytes]:
    """Cut a torn last line, or end it; gives the file's size and the bytes to write. Raises OSError.

    The line is cut if a crash tore it from a record, or from this very line: the delivery that wrote it is not settled
    and appends it again. A record that only lacks its end stays, since somebody may have taken the end away.
    """
    while True:
        size = os.fstat(fd).st_size
        last = os.pread(fd, 1, size - 1) if size else b"\n"
        if last == b"\n":
            return size, data
        if last:
            break  # else the file was cut since its size was read
    start = _last_line(fd, size)
    if _is_torn(fd, start, size, data, is_record=is_record) and os.fstat(fd).st_size == size:
        os.ftruncate(fd, start)
        return start, data
    return size, b"\n" + data


def _is_torn(fd: int, start: int, size: int, data: bytes, *, is_record: bool) -> bool:
    """Whether the bytes from start to size are the beginning of a record, or of the data."""
    if is_record:
        if not begins_like_a_record(os.pread(fd, BEGINNING_BYTES, start)):
            return False
        return not is_whole(os.pread(fd, size - start, start))
    return size - start < len(data) and data.startswith(os.pread(fd, size - start, start))


def _last_line(fd: int, size: int) -> int:
    """Where the last line begins."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK_BYTES)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
