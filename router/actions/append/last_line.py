"""Repairs a last line that has no line end, after a crash or a write by another program."""

import os

from router.actions.append.record import BEGINNING_BYTES, begins_like_a_record, is_whole

_CHUNK_BYTES = 64 * 1024


def mend_last_line(fd: int, data: bytes, *, is_record: bool) -> tuple[int, bytes]:
    """Remove a torn last line, or end a complete one. Returns the file's size and the bytes to write. Raises OSError.

    A line is torn when it is the beginning of a record or of `data`: a crash cut it off. Its delivery is not settled
    and appends it again. A complete record stays; only its line end is added.
    """
    while True:
        size = os.fstat(fd).st_size
        last = os.pread(fd, 1, size - 1) if size else b"\n"
        if last == b"\n":
            return size, data
        if last:
            break  # the file became shorter after its size was read
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
    """The offset at which the last line begins."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK_BYTES)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
