"""The wall clock: this machine's, or the database's where several nodes share a store."""

import time

from router.runtime.lease import lease_clock


class WallClock:
    """Any thread may read it; one thread sets it. Once set, it goes by the monotonic clock: a jump of this machine's
    clock does not reach it."""

    def __init__(self) -> None:
        self._set: tuple[int, float] | None = None  #: a time (ms), and the lease_clock of that moment

    def set(self, now_ms: int, at: float) -> None:
        """Set the clock: it was `now_ms` at the time `at` of lease_clock."""
        self._set = (now_ms, at)

    def encode(self) -> bytes:
        """The clock as text, from which another process of this machine sets its own. Empty: never set."""
        return b"" if self._set is None else b"%d %r" % (self._set[0], self._set[1])

    def decode(self, text: bytes) -> None:
        """Set the clock from the text of another process."""
        if text:
            now, at = text.split()
            self.set(int(now), float(at))

    def now_ms(self) -> int:
        """Unix time, ms."""
        if self._set is None:
            return time.time_ns() // 1_000_000
        now, at = self._set
        return now + round((lease_clock() - at) * 1000)


CLOCK = WallClock()  #: of this process
now_ms = CLOCK.now_ms
