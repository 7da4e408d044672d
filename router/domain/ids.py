"""Ids that sort by time: UUIDv7 (RFC 9562, section 5.7)."""

import os
import threading

_COUNTER_BITS = 12
_STAMP = (1 << 48 + _COUNTER_BITS) - 1  #: the bits of time and counter
_DRAWN = 256  #: ids for which random parts are made at once
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  #: a random digit as the first one of the variant
_random: list[str] = []  #: random parts in their written form
_lock = threading.Lock()
os.register_at_fork(after_in_child=_random.clear)  # two processes must not use the same random parts
_last = 0  # time and counter of the last id, as one number that only grows


def uuid7(now_ms: int) -> str:
    """A new UUIDv7 for that time, greater than all earlier ones of this process.

    Within one millisecond, and after the clock was set back, the 12 bits after the time count up (method 1 of section
    6.2). When they overflow, the time in the id runs ahead of the clock.
    """
    global _last  # noqa: PLW0603 - one counter for the process is the point
    floor = now_ms << _COUNTER_BITS
    with _lock:
        _last = stamp = floor if floor > _last else _last + 1
        if not _random:
            _draw()
        random = _random.pop()
    head = f"{stamp & _STAMP:015x}"
    return f"{head[:8]}-{head[8:12]}-7{head[12:]}-{random}"


def _draw() -> None:
    # One call for many ids, since each call releases Python's lock.
    digits = os.urandom(8 * _DRAWN).hex()
    parts = [digits[at : at + 16] for at in range(0, len(digits), 16)]
    _random.extend(f"{_VARIANT[part[0]]}{part[1:4]}-{part[4:]}" for part in parts)
