"""Reads a file that an operator named: a regular one only, without blocking, and no more of it than is sensible.

A pipe would hold the reader until somebody writes, a device such as /dev/zero never ends, and opening some devices does
something. Files below /proc are regular and say that they are empty, so the size that a file tells is not believed.
"""

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from router.domain.errors import RouterError

MAX_PAYLOAD_BYTES = 256 * 1024**2  #: of a payload that a command reads: ten times what a source takes by default
_OWN = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/[0-9]{1,9}")  #: what a shell's `<(…)` gives
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
    """A file that is not read; its text is the reason, with the cure where the reason alone does not tell it."""

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(reason)
        self.number = number  #: the errno of it; 0: the file is not what is read


def read_file(path: Path, most: int, *, pipes: bool = False) -> bytes:
    """The content, of `most` bytes at the most. Raises Unreadable.

    `pipes`: a pipe that this very process was started with is read as well, such as `<(jq . push.json)` of a shell:
    that is no more dangerous than its standard input.
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
        raise Unreadable("this is no name of a file", errno.EINVAL) from None


def read_stream(stream: BinaryIO, most: int) -> bytes:
    """What an open stream has to its end, however long that takes. Raises Unreadable when it is more than `most`."""
    try:
        content = stream.read(most + 1)
    except OSError as error:
        raise Unreadable(os.strerror(error.errno or 0), error.errno or 0) from None
    if len(content) > most:
        raise _too_large(most)
    return content


def open_regular(path: Path) -> int:
    """A descriptor to read from. Raises OSError, ValueError, or Unreadable for what is no regular file."""
    _check_kind(path.stat().st_mode)  # before it is opened: that alone would disturb a pipe's writer, or wind a tape
    descriptor = os.open(path, _FLAGS)
    try:
        _check_kind(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_all(descriptor: int, most: int) -> bytes:
    """What is left to read. Raises OSError, or Unreadable when it is more than `most` bytes."""
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
        raise Unreadable(f"{kind or 'it is no file'}, and only a regular file is read; write its content into one")


def _too_large(most: int) -> Unreadable:
    return Unreadable(f"it is larger than {_shown(most)}; is it the right file?", errno.EFBIG)


def _shown(count: int) -> str:
    return f"{count // 1024**2} MiB" if count >= 1024**2 else f"{count // 1024} KiB"
