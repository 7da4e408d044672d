"""Signals as they come, one after the other, for the main thread to wait for.

Not by handlers that set an Event: a thread that waits for a lock without end misses a signal that arrives just before
it falls asleep, or that the kernel gave to another thread, until the next one; and a handler that sets an Event while
another handler is about to do so waits for itself. Python writes each signal's number into a pipe at once, whichever
thread it came to.
"""

import os
import signal
from types import FrameType


class Signals:
    """Catches signals from its making on. Belongs to the main thread."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        # A pipe that is full holds thousands of signals that nobody has acted on: one more says nothing new.
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _written_down)

    def wait(self) -> signal.Signals:
        """The next signal."""
        [number] = os.read(self._read, 1)
        return signal.Signals(number)


def _written_down(_: int, __: FrameType | None) -> None:
    """A signal without a handler would end the process."""
