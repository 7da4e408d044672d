"""Writes log lines to a stream, many with one write, by a thread of its own."""

import atexit
import select
import threading
from collections import deque
from typing import BinaryIO

GATHERED_SECONDS = 0.02  #: for which lines are gathered unless one is a warning or worse; what a kill -9 may cost
MAX_WAITING = 50_000  #: lines that wait while nobody reads the stream; further ones are counted, not kept
_EXIT_SECONDS = 2.0  #: for the last lines, should nobody read the stream
_LOST = b'{"level":"warning","message":"log lines lost: they could not be written","lines":%d}'


class Lines:
    """What structlog calls a logger. Any thread may call it; none ever waits for the stream.

    A write by the thread that logs would give the interpreter away and wait to get it back, twice for each event; and
    a stream that nobody reads would stop the daemon. The stream has no buffer of its own: what a full disk refuses must
    be known, and not come later in the middle of something else.
    """

    def __init__(self, stream: BinaryIO, lost: bytes = _LOST) -> None:
        self._stream = stream
        self._said_of_lost = lost
        self._waiting: deque[bytes] = deque()
        self.lost = 0  #: since the start; any thread may read it
        self._lost_said = 0
        self._torn = False  #: the last line that was written has no end
        self._news = threading.Event()
        self._urgent = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def info(self, line: bytes) -> None:
        """Write it soon."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1  # two threads may count as one: "many" is what it says
            return
        self._waiting.append(line)
        if not self._news.is_set():
            self._news.set()

    debug = info

    def warning(self, line: bytes) -> None:
        """Write it at once, with those before it."""
        self.info(line)
        self._urgent.set()

    error = critical = warning

    def end(self) -> None:
        """Write what waits, and end the thread."""
        self._ending = True
        self._urgent.set()
        self._news.set()
        self._thread.join(_EXIT_SECONDS)

    def _run(self) -> None:
        while not self._ending:
            self._news.wait()
            self._urgent.wait(GATHERED_SECONDS)
            self._urgent.clear()
            self._news.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        lost = self.lost - self._lost_said
        if lost:
            lines.append(self._said_of_lost % lost)
        if not lines:
            return
        unwritten = self._put(b"\n" * self._torn + b"\n".join([*lines, b""])).count(b"\n")
        if lost and unwritten:
            unwritten -= 1  # that some are lost is said another time
        elif lost:
            self._lost_said += lost
        self.lost += unwritten

    def _put(self, data: bytes) -> bytes:
        """Write it; what could not be is given back, from where a line was torn."""
        at = 0
        try:
            while at < len(data):
                written = self._stream.write(memoryview(data)[at:])
                if written is None:  # somebody set it not to block
                    select.select([], [self._stream], [])
                at += written or 0
        except (OSError, ValueError):  # full, or closed: there is no other place to say it
            if at:
                self._torn = data[at - 1 : at] != b"\n"
            whole = self._torn and data[at : at + 1] == b"\n"  # for the next write begins with what it lacks
            return data[at + whole :]
        self._torn = False
        return b""
