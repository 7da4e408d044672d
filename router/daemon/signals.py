"""Signals for the main thread to wait for, one after the other, in the order of their arrival.

Python writes each signal's number into a pipe at once, whichever thread it came to. Handlers that set an Event would
not do: a thread that waits for a lock without a timeout misses a signal that arrives just before it falls asleep, or
that the kernel gave to another thread. And a handler that sets an Event while another handler does so waits for itself.
"""

import os
import signal
from types import FrameType


class Signals:
    """Catches signals as soon as it is made. Only the main thread may use it."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        # A full pipe holds thousands of unread signals, so another one is not needed.
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _handler)

    def wait(self) -> signal.Signals:
        """The next signal."""
        [number] = os.read(self._read, 1)
        return signal.Signals(number)


def _handler(_: int, __: FrameType | None) -> None:
    """A signal without a handler would end the process."""
