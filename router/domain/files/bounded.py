"""Reads a file that an operator named: only a regular file, without blocking, and only up to a limit.

Reading a pipe would block until somebody writes, a device such as /dev/zero never ends, and opening some devices has an
effect. Files below /proc are regular and report a size of 0, so the reported size is not used.
"""

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from router.domain.errors import RouterError

MAX_PAYLOAD_BYTES = 256 * 1024**2  #: of a payload that a command reads: ten times the default limit of a source
_OWN = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/[0-9]{1,9}")  #: the path that a shell makes of `<(…)`
_STDIN = "/dev/stdin"
_PIECE = 1024 * 1024  #: bytes of one read
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISFIFO, "it is a named pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


class Unreadable(RouterError):
    """A file that can't be read. Its text is the reason, with the cure where the reason does not show it."""

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(reason)
        self.number = number  #: errno; 0: this kind of file is never read


def read_file(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """Read a file of at most `most` bytes. Raises Unreadable.

    `pipes`: a pipe that this process was started with is read too, such as `<(jq . push.json)` of a shell. It is no
    more dangerous than standard input.
    """
    try:
        if pipes and _OWN.fullmatch(str(path)) and stat.S_ISFIFO(path.stat().st_mode):
            descriptor = os.dup(0 if str(path) == _STDIN else int(path.name))
        else:
            descriptor = open_regular(path)
        try:
            return read_all(descriptor, most)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable(os.strerror(error.errno or 0), error.errno or 0) from None
    except ValueError:  # a zero byte, or half a surrogate pair
        raise Unreadable("this is not a file name", errno.EINVAL) from None


def read_stream(stream: BinaryIO, most: int) -> bytes:
    """Read an open stream to its end, however long that takes. Raises Unreadable for more than `most` bytes."""
    try:
        content = stream.read(most + 1)
    except OSError as error:
        raise Unreadable(os.strerror(error.errno or 0), error.errno or 0) from None
    if len(content) > most:
        raise _too_large(most)
    return content


def open_regular(path: Path) -> int:
    """Open a regular file for reading; gives its descriptor. Raises OSError, ValueError, or Unreadable."""
    _check_kind(path.stat().st_mode)  # checked before opening: opening would disturb a pipe's writer, or wind a tape
    descriptor = os.open(path, _FLAGS)
    try:
        _check_kind(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_all(descriptor: int, most: int) -> bytes:
    """Read to the end. Raises OSError, or Unreadable for more than `most` bytes."""
    pieces: list[bytes] = []
    left = most + 1
    while left > 0 and (piece := os.read(descriptor, min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise _too_large(most)
    return b"".join(pieces)


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise Unreadable(os.strerror(errno.EISDIR), errno.EISDIR)
    kind = next((words for is_kind, words in _KINDS if is_kind(mode)), None)
    if kind is not None or not stat.S_ISREG(mode):
        raise Unreadable(f"{kind or 'it is not a file'}, and only a regular file is read; write its content into one")


def _too_large(most: int) -> Unreadable:
    return Unreadable(f"it is larger than {_shown(most)}; is it the right file?", errno.EFBIG)


def _shown(count: int) -> str:
    return f"{count // 1024**2} MiB" if count >= 1024**2 else f"{count // 1024} KiB"
