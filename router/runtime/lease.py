"""How long this process may run attempts. Afterwards other nodes may make them again."""

import math
import time
from collections.abc import Callable

# This clock also counts while the machine is suspended, and is the same in all processes of the machine.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or time.CLOCK_MONOTONIC


def lease_clock() -> float:
    """Seconds of the clock that leases are measured by."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A lease. Any thread may read it; one thread renews it. The lease of a daemon that owns its store alone never
    ends."""

    def __init__(self, until: float = math.inf, end: float | None = None) -> None:
        """See `renew`."""
        self.until = until  #: by lease_clock: attempts are stopped then
        self.end = until if end is None else end  #: by lease_clock: what is left of the attempts is killed then
        self.lapses = 0  #: how often it was renewed after it had ended: earlier attempts may then run elsewhere too
        #: the lapses when the node's part of the limits was read; set by the delivery loop
        self.begins_after = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_over(self) -> bool:
        """Whether attempts must not run."""
        return lease_clock() >= self.until

    @property
    def lets_begin(self) -> bool:
        """Whether attempts may begin: it has not ended since the node's part of the limits was read."""
        return not self.is_over and self.lapses == self.begins_after

    def break_off(self) -> None:
        """End it now: others may run this process's attempts already."""
        self.until = self.end = -math.inf

    def renew(self, until: float, end: float | None = None) -> None:
        """Attempts may run until `until`, and must be over by `end`; both by lease_clock."""
        self.lapses += self.is_over
        self.until, self.end = until, until if end is None else end
        for listener in list(self._listeners):
            listener()

    def on_renewed(self, listener: Callable[[], None]) -> None:
        """Call the listener at each renewal, in the renewing thread. It must be short."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Stop calling this listener."""
        self._listeners.remove(listener)
