"""The budget of one rendering: its steps of work, and the size of its texts and numbers.

Every filter, test and operator charges its steps before it works, since a call into the interpreter can't be stopped. A
step takes about a tenth of a microsecond.
"""

import time
from collections.abc import Iterator
from typing import Any

from router.domain.errors import RenderError

INLINE_WORK = 10_000  #: steps that may run in an event loop, some 2 ms; a rendering that needs more runs in a thread
MAX_WORK = 1_000_000  #: steps for a small event, some 0.2 s; a loop over 10,000 items with 20 expressions takes half
MAX_TEXT = 2 * 1024 * 1024  #: characters of one text made from a small event; a message has some thousand
TEXT_PER_BYTE = (
    4  #: further characters for each byte of the event's body: a template may write a large body in another format
)
WORK_PER_BYTE = 2  #: further steps for each byte of the event's body
MAX_DIGITS = 4300  #: digits of a number; Python writes no more
MAX_BITS = 14_284  #: bits of the largest such number
SMALL_BODY = 64 * 1024  #: bytes of a body that is written as JSON before its length is charged, some 0.1 ms
COPIED_PER_STEP = 32  #: characters that are copied, compared or searched in one step
CHANGED_PER_STEP = 2  #: characters that are changed one by one in one step
_SCALARS = (int, float, bool, type(None))
_CHECK_STEPS = 2_000  #: steps between two checks of the clock
_SLICE_SECONDS = 0.001  #: of work in a thread before a rest
_REST_SECONDS = 0.002  #: of rest, so that requests keep two thirds of the interpreter


class TooMuchWork(RenderError):
    """A rendering exceeds its budget."""


class NeedsThread(RenderError):
    """A rendering takes too long for an event loop; it starts again in a thread."""


class RenderBudget:
    """The steps that one rendering may still take. One thread uses it at a time."""

    __slots__ = ("_check_at", "_inline", "_rested_at", "_total", "body_size", "left", "longest_text")

    def __init__(self, body_size: int = 0, *, inline: bool = False, rests: bool = False) -> None:
        """`body_size` is the size of the event's body in bytes. With `rests` it sleeps now and then, so that other
        threads run."""
        self._total = MAX_WORK + WORK_PER_BYTE * body_size
        self._inline = inline
        self.body_size = body_size
        self.left = INLINE_WORK if inline else self._total
        self.longest_text = MAX_TEXT + TEXT_PER_BYTE * body_size
        self._check_at = self.left - _CHECK_STEPS if rests else 0
        self._rested_at = time.monotonic() if rests else 0.0

    def charge(self, steps: int) -> None:
        """Charge these steps. Raises TooMuchWork, or NeedsThread."""
        left = self.left = self.left - steps
        if left < self._check_at:
            self._check()

    def charge_text(self, length: int, what: str, per_step: int = COPIED_PER_STEP) -> None:
        """Charge a text of this length that is read or written. Raises TooMuchWork when it is too long."""
        if length > self.longest_text:
            raise TooMuchWork(f"{what}: a text of more than {self.longest_text} characters is too large")
        left = self.left = self.left - 1 - length // per_step
        if left < self._check_at:
            self._check()

    def charge_value(self, value: Any, what: str, per_step: int = COPIED_PER_STEP) -> Any:
        """Charge the reading of a value and everything in it. Returns the value, with lists in place of iterators."""
        if isinstance(value, str):
            self.charge_text(len(value), what, per_step)
        elif isinstance(value, int):
            self.check_number(value, what)
        elif isinstance(value, dict | list | tuple | range):
            if self._charge_nested(value, what, per_step):
                value = self._evaluated(value)
                self._charge_nested(value, what, per_step)
        elif isinstance(value, Iterator):
            value = self._evaluated(value)
            self._charge_nested(value, what, per_step)
        return value

    def _evaluated(self, value: Any) -> Any:
        """A copy with lists in place of iterators."""
        self.charge(3)
        if isinstance(value, dict):
            return {key: self._evaluated(item) for key, item in value.items()}
        return [self._evaluated(item) for item in value] if isinstance(value, list | tuple | Iterator) else value

    def check_number(self, value: Any, what: str) -> Any:
        """Return the number. Raises TooMuchWork when it has too many digits."""
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise TooMuchWork(f"{what}: a number of more than {MAX_DIGITS} digits is too large")
        return value

    def _charge_nested(self, value: Any, what: str, per_step: int) -> bool:
        """Charge all values in a value. Returns whether an iterator is among them.

        A list may hold the same value many times and be huge when it is written, so each occurrence counts.
        """
        stack, length, lazy = [value], 0, False
        while stack:
            value = stack.pop()
            before = length
            if isinstance(value, str):
                length += len(value)
            elif isinstance(value, dict | list | tuple | range):
                self.charge(2 * len(value))
                length += 4 * len(value) + 2
                if isinstance(value, dict):
                    length += sum(len(key) for key in value if isinstance(key, str))
                    value = value.values()
                if not isinstance(value, range):
                    for item in value:
                        if type(item) is str:
                            length += len(item)
                        elif type(item) not in _SCALARS:
                            stack.append(item)
            else:
                lazy = lazy or isinstance(value, Iterator)
            if length > self.longest_text:
                raise TooMuchWork(f"{what}: a value of more than {self.longest_text} characters is too large")
            self.charge(2 + (length - before) // per_step)
        return lazy

    def _check(self) -> None:
        """Raise when the budget is spent. Rest when it is time."""
        if self.left < 0:
            if self._inline:
                raise NeedsThread("the rendering is too much work to be made at once")
            raise TooMuchWork(f"the rendering takes more than {self._total} steps of work")
        self._check_at = max(0, self.left - _CHECK_STEPS)
        if time.monotonic() - self._rested_at > _SLICE_SECONDS:
            time.sleep(_REST_SECONDS)
            self._rested_at = time.monotonic()
