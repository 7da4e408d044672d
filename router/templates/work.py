"""The bounds of one rendering: how much work it may be, and how long a text or number it may make.

Every filter, test and operator says what it is about to do before it does it, since one call of the interpreter can't
be ended once it has begun. A step is about a tenth of a microsecond.
"""

import time
from collections.abc import Iterator
from typing import Any

from router.domain.errors import RenderError

INLINE_WORK = 10_000  #: steps beside other work of a loop, some 2 ms; a rendering that needs more goes to a thread
MAX_WORK = 1_000_000  #: steps for a small event, some 0.2 s; a loop over 10,000 items with 20 parts takes half of it
MAX_TEXT = 2 * 1024 * 1024  #: characters of one text that a small event makes; a message has some thousand
TEXT_PER_BYTE = 4  #: characters more for each byte of the event's body: a large body may be sent on in other words
WORK_PER_BYTE = 2  #: steps more for each byte of the event's body
MAX_DIGITS = 4300  #: digits of a number, as many as Python writes
MAX_BITS = 14_284  #: the bits of such a number
SMALL_BODY = 64 * 1024  #: bytes of a body that is written as JSON, some 0.1 ms, before it is paid for
CHEAP = 32  #: characters that are copied, compared or searched in a step
DEAR = 2  #: characters that are changed one by one in a step
_SCALARS = (int, float, bool, type(None))
_LOOK = 2_000  #: steps between two looks at the clock
_SLICE_SECONDS = 0.001  #: of work in a thread, before a rest
_REST_SECONDS = 0.002  #: the requests that are answered meanwhile keep two thirds of the interpreter


class TooMuchWork(RenderError):
    """A rendering is beyond its bounds."""


class NeedsThread(RenderError):
    """A rendering is more than a loop has time for; it is made again in a thread."""


class Work:
    """What one rendering may still do. One thread uses it at a time."""

    __slots__ = ("_inline", "_look_at", "_rested_at", "_total", "body", "left", "longest")

    def __init__(self, body: int = 0, *, inline: bool = False, rests: bool = False) -> None:
        """`body` is the size of the event's body in bytes; with `rests` it makes room for other threads."""
        self._total = MAX_WORK + WORK_PER_BYTE * body
        self._inline = inline
        self.body = body
        self.left = INLINE_WORK if inline else self._total
        self.longest = MAX_TEXT + TEXT_PER_BYTE * body
        self._look_at = self.left - _LOOK if rests else 0
        self._rested_at = time.monotonic() if rests else 0.0

    def charge(self, steps: int) -> None:
        """Take the steps of what comes next. Raises TooMuchWork, or NeedsThread."""
        left = self.left = self.left - steps
        if left < self._look_at:
            self._look()

    def text(self, length: int, what: str, per_step: int = CHEAP) -> None:
        """Take the steps of making, or going through, a text of so many characters."""
        if length > self.longest:
            raise TooMuchWork(f"{what}: a text of more than {self.longest} characters is too large")
        left = self.left = self.left - 1 - length // per_step
        if left < self._look_at:
            self._look()

    def value(self, value: Any, what: str, per_step: int = CHEAP) -> Any:
        """Take the steps of going through a value with all that is in it; what filters make lazily becomes a list."""
        if isinstance(value, str):
            self.text(len(value), what, per_step)
        elif isinstance(value, int):
            self.number(value, what)
        elif isinstance(value, dict | list | tuple | range):
            if self._nested(value, what, per_step):
                value = self._listed(value)
                self._nested(value, what, per_step)
        elif isinstance(value, Iterator):
            value = self._listed(value)
            self._nested(value, what, per_step)
        return value

    def _listed(self, value: Any) -> Any:
        """A copy in which everything is there."""
        self.charge(3)
        if isinstance(value, dict):
            return {key: self._listed(item) for key, item in value.items()}
        return [self._listed(item) for item in value] if isinstance(value, list | tuple | Iterator) else value

    def number(self, value: Any, what: str) -> Any:
        """A number, if it isn't too large to go on with."""
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise TooMuchWork(f"{what}: a number of more than {MAX_DIGITS} digits is not of moderate size")
        return value

    def _nested(self, value: Any, what: str, per_step: int) -> bool:
        """Count everything in a value, and tell whether something is not there yet.

        Values may be shared, so that a short list is a huge one when it is written out: each is counted again.
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
            if length > self.longest:
                raise TooMuchWork(f"{what}: a value of more than {self.longest} characters is too large")
            self.charge(2 + (length - before) // per_step)
        return lazy

    def _look(self) -> None:
        """Whether it was too much, or time for a rest."""
        if self.left < 0:
            if self._inline:
                raise NeedsThread("the rendering is too much work to be made at once")
            raise TooMuchWork(f"the rendering takes more than {self._total} steps of work")
        self._look_at = max(0, self.left - _LOOK)
        if time.monotonic() - self._rested_at > _SLICE_SECONDS:
            time.sleep(_REST_SECONDS)
            self._rested_at = time.monotonic()
