"""Keeps Python's cyclic garbage collector, and long turns of one thread, from costing what a load should not cost.

A load makes millions of objects that stay. The collector would walk all of them again and again meanwhile (two thirds
of the time of loading 10,000 rules), and once more whenever it looks at its oldest generation later on, with every
request waiting. So it pauses during a load, and what was loaded is set aside from its rounds.
"""

import gc
import sys
import threading
from types import TracebackType

_SWITCH_SECONDS = 0.0005  #: a thread's longest turn beside a load; Python's 5 ms, five times a request, would be felt


class _Uncollected:
    """A context in which the collector pauses; loads may overlap in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._was_on = False
        self._switch_seconds = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._was_on = gc.isenabled()
                self._switch_seconds = sys.getswitchinterval()
                gc.disable()
                sys.setswitchinterval(_SWITCH_SECONDS)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.setswitchinterval(self._switch_seconds)
                if self._was_on:
                    gc.enable()


UNCOLLECTED = _Uncollected()


def set_aside() -> None:
    """Take everything that lives now out of the collector's rounds; a reload gives what has died back to it first."""
    gc.unfreeze()
    gc.freeze()
