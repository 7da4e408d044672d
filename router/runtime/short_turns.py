"""Shorter turns of the interpreter while the admin listener answers, so that events don't wait for it.

An event passes the interpreter some ten times. Each time it may have to wait until another thread's turn is over, which
takes 5 ms by Python's default while that thread computes.
"""

import sys
import threading
from types import TracebackType

TURN_SECONDS = 0.0005  #: ten waits are 5 ms then; shorter ones gain nothing that could be measured


class _ShortTurns:
    """A context; several threads may be in it at once. The last one brings the usual turns back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._usual = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual, TURN_SECONDS))

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.setswitchinterval(self._usual)


SHORT_TURNS = _ShortTurns()
