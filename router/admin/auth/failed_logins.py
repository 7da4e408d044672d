"""How many wrong tokens an address may send, and all together, so that guessing takes longer than anybody has."""

import ipaddress
import math
import threading
from collections import OrderedDict

AT_ONCE = 10  #: failures that an address may make at once: somebody who pastes the wrong token a few times
SECONDS_EACH = 1.0  #: after which one more is allowed
MAX_ADDRESSES = 4096  #: that are remembered, some 150 bytes each; whoever failed longest ago is forgotten first
ALL_AT_ONCE = 1000  #: failures of all addresses together: a hundred programs that were given the wrong token
ALL_SECONDS_EACH = 0.1  #: after which one more is allowed to all
MAX_KNOWN = 256  #: addresses whose right token is remembered: the operators and programs of one daemon

_LOOPBACK = "loopback"


class FailedLogins:
    """Any thread may call it. Times are monotonic, seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._empty_until: OrderedDict[str, float] = OrderedDict()  # by address: when its bucket is full again
        self._all_empty_until = 0.0
        self._known: OrderedDict[str, None] = OrderedDict()  # that had the right token, the latest one last

    def wait(self, address: str, now: float) -> int:
        """Seconds for which nothing from there is looked at; 0: it may try.

        Addresses that had the right token are not held up by what all others do.
        """
        key = network_of(address)
        with self._lock:
            full_at = self._empty_until.get(key, now)
            all_full_at = now if key in self._known else self._all_empty_until
        left = full_at - now - (AT_ONCE - 1) * SECONDS_EACH
        all_left = all_full_at - now - (ALL_AT_ONCE - 1) * ALL_SECONDS_EACH
        return max(0, math.ceil(left), math.ceil(all_left))

    def add(self, address: str, now: float) -> None:
        """It failed once more."""
        key = network_of(address)
        with self._lock:
            full_at = max(now, self._empty_until.pop(key, now))
            self._empty_until[key] = full_at + SECONDS_EACH
            self._all_empty_until = max(now, self._all_empty_until) + ALL_SECONDS_EACH
            while len(self._empty_until) > MAX_ADDRESSES:
                self._empty_until.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """It had the right token."""
        key = network_of(address)
        with self._lock:
            self._known[key] = None
            self._known.move_to_end(key)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)


def network_of(address: str) -> str:
    """What counts as one address: all of loopback, since each program of this machine has 2^24 of them, and an IPv6
    network of 64 bits, since each customer has one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return _LOOPBACK if found.is_loopback else str(ipaddress.ip_network((found, 64), strict=False))
        found = found.ipv4_mapped
    return _LOOPBACK if found.is_loopback else str(found)
