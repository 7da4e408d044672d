"""Writes log lines to a stream in a thread of its own, many lines with one write."""

import atexit
import os
import select
import threading
from collections import deque
from typing import BinaryIO

GATHERED_SECONDS = 0.02  #: how long lines are gathered, unless one is a warning or worse; a kill -9 loses them
MAX_WAITING = 50_000  #: lines that wait while nobody reads the stream; further ones are only counted
_EXIT_SECONDS = 2.0  #: how long the last lines wait when nobody reads the stream
_LOST = b'{"level":"warning","message":"log lines lost: they could not be written","lines":%d}'


class Lines:
    """A logger of structlog. Any thread may call it; it never waits for the stream.

    If the logging thread wrote the line itself, it would release Python's lock and wait for it again, twice for each
    event. A stream that nobody reads would stop the daemon. The stream must have no buffer of its own: then a failed
    write is known at once, and its bytes don't appear later between other lines.
    """

    def __init__(self, stream: BinaryIO, lost: bytes = _LOST) -> None:
        self._stream = stream
        self._lost_line = lost
        self._waiting: deque[bytes] = deque()
        self.lost = 0  #: number of lost lines since the start; any thread may read it
        self._lost_reported = 0
        self._torn = False  #: the last written line is incomplete
        self._filled = threading.Event()
        self._urgent = threading.Event()
        self._ending = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def info(self, line: bytes) -> None:
        """Write the line soon."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1  # not exact: two threads at once may count as one
            return
        self._waiting.append(line)
        if not self._filled.is_set():
            self._filled.set()

    debug = info

    def warning(self, line: bytes) -> None:
        """Write the line at once, with those before it."""
        self.info(line)
        self._urgent.set()

    error = critical = warning

    def end(self) -> None:
        """Write the waiting lines, and end the thread. In a forked process do nothing: its parent writes them, and a
        thread that it does not have may hold the locks."""
        if os.getpid() != self._process:
            return
        self._ending = True
        self._urgent.set()
        self._filled.set()
        self._thread.join(_EXIT_SECONDS)

    def _run(self) -> None:
        while not self._ending:
            self._filled.wait()
            self._urgent.wait(GATHERED_SECONDS)
            self._urgent.clear()
            self._filled.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        lost = self.lost - self._lost_reported
        if lost:
            lines.append(self._lost_line % lost)
        if not lines:
            return
        unwritten = self._put(b"\n" * self._torn + b"\n".join([*lines, b""])).count(b"\n")
        if lost and unwritten:
            unwritten -= 1  # the line about lost lines is among them, and will be written later
        elif lost:
            self._lost_reported += lost
        self.lost += unwritten

    def _put(self, data: bytes) -> bytes:
        """Write data. Returns the part that could not be written, from the beginning of its first line."""
        at = 0
        try:
            while at < len(data):
                written = self._stream.write(memoryview(data)[at:])
                if written is None:  # another process made the stream non-blocking
                    select.select([], [self._stream], [])
                at += written or 0
        except (OSError, ValueError):  # full or closed, and there is no other place to report it
            if at:
                self._torn = data[at - 1 : at] != b"\n"
            whole = self._torn and data[at : at + 1] == b"\n"  # this write begins with the missing line end
            return data[at + whole :]
        self._torn = False
        return b""
