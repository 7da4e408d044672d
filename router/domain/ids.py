"""Ids that sort by time: UUIDv7 (RFC 9562, section 5.7)."""

import os
import threading

_RANDOM_BITS = 62
_COUNTER_BITS = 12
_DRAWN = 256  #: ids whose random part is drawn at once
_random: list[bytes] = []
_lock = threading.Lock()
os.register_at_fork(after_in_child=_random.clear)  # two processes must not use the same random parts
_last = 0  # the last id's time and counter, as one number that only grows


def uuid7(now_ms: int) -> str:
    """A new UUIDv7 for that time, greater than all earlier ones of this process.

    Within one millisecond, and after the clock was set back, the 12 bits after the time count up (method 1 of section
    6.2). When they overflow, the time in the id runs ahead of the clock.
    """
    global _last  # noqa: PLW0603 - one counter for the process is the point
    floor = now_ms << _COUNTER_BITS
    with _lock:
        _last = max(_last + 1, floor)
        stamp = _last
        if not _random:
            # One call for many ids, since each call gives up Python's lock.
            drawn = os.urandom(8 * _DRAWN)
            _random.extend(drawn[at : at + 8] for at in range(0, len(drawn), 8))
        random = int.from_bytes(_random.pop()) >> 2
    time, counter = stamp >> _COUNTER_BITS, stamp & ((1 << _COUNTER_BITS) - 1)
    number = (time & ((1 << 48) - 1)) << 80 | 7 << 76 | counter << 64 | 2 << _RANDOM_BITS | random
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
