"""What this node has to tell the others: that deliveries are due, and changes of breakers."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from router.runtime.lease import lease_clock
from router.store.fleet import Fleet

TELL_SECONDS = 0.02  #: shortest time between two notices to the other nodes


class NodeMessages:
    """`send` and `send_at` belong to the node's thread. Any thread may call the rest."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to send."""
        self._wake = wake
        self._lock = threading.Lock()
        self._breakers: OrderedDict[str, str | None] = OrderedDict()  #: by target
        self._tell_at = 0.0  #: by lease_clock: the earliest time of the next notice
        self.is_due = False  #: whether the others must look for due deliveries and for breakers

    def due(self) -> None:
        """A commit made deliveries due."""
        self.is_due = True
        self._wake()

    def breaker(self, target: str, noted: str | None) -> None:
        """The state of a target's breaker. None: it is closed."""
        with self._lock:
            self._breakers[target] = noted
        self._wake()

    def send(self, fleet: Fleet) -> None:
        """Send what may be sent now. Raises StoreError."""
        if self._send_breakers(fleet):
            self.is_due = True
        if self.is_due and lease_clock() >= self._tell_at:
            self.is_due = False
            self._tell_at = lease_clock() + TELL_SECONDS
            fleet.tell()

    def _send_breakers(self, fleet: Fleet) -> bool:
        """True: there were some, which the others must read."""
        with self._lock:
            breakers, self._breakers = self._breakers, OrderedDict()
        found = bool(breakers)
        try:
            while breakers:
                target, noted = next(iter(breakers.items()))
                fleet.put_breaker(target, noted)
                del breakers[target]
        finally:
            with self._lock:  # if it can't be told now it is told later, unless something newer replaces it
                self._breakers = OrderedDict({**breakers, **self._breakers})
        return found

    @property
    def send_at(self) -> float:
        """By lease_clock: when to send again. Infinity: nothing waits."""
        return self._tell_at if self.is_due else float("inf")
