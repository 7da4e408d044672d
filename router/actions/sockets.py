"""Sockets of forwards, which send and receive without giving the interpreter's turn away.

Python gives it away around every system call, and while the intake is busy the next turn is a tenth of a millisecond
away: deliveries then fall behind although there is time for them. A call on a socket that never blocks takes some
microseconds, so it is made with the turn kept, by ctypes. What is not the usual case, and a system without these calls,
goes Python's own way.
"""

import ctypes
import os
import socket
import sys
from typing import Any

_ROOM = 64 * 1024  #: bytes of one call; copying more would be worth giving the turn away
_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)


def _library() -> ctypes.PyDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.PyDLL(None, use_errno=True)  # a PyDLL's functions keep the turn
    for name, buffer in (("send", ctypes.c_char_p), ("recv", ctypes.c_void_p)):
        function = getattr(library, name)
        function.argtypes = (ctypes.c_int, buffer, ctypes.c_size_t, ctypes.c_int)
        function.restype = ctypes.c_ssize_t
    return library


_LIBRARY = _library()
_buffer = ctypes.create_string_buffer(_ROOM)  # one for all: only the delivery loop's thread receives


class Socket(socket.socket):
    """A socket for asyncio, in the delivery loop."""

    def send(self, data: Any, flags: int = 0) -> int:
        """See socket.send."""
        if _LIBRARY is None or flags or type(data) is not bytes or len(data) > _ROOM or self.gettimeout() != 0:
            return super().send(data, flags)
        return _checked(_LIBRARY.send(self.fileno(), data, len(data), _FLAGS))

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """See socket.recv; at most 64 KiB at once."""
        if _LIBRARY is None or flags or self.gettimeout() != 0:
            return super().recv(bufsize, flags)
        size = _checked(_LIBRARY.recv(self.fileno(), _buffer, min(bufsize, _ROOM), _FLAGS))
        return ctypes.string_at(_buffer, size)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
