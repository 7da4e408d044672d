"""Limits wrong tokens, for each address and for all together, so that guessing takes too long."""

import ipaddress
import math
import threading
from collections import OrderedDict

AT_ONCE = 10  #: failures of one address in a burst, such as an operator who pastes the wrong token
SECONDS_EACH = 1.0  #: until an address may fail once more
MAX_ADDRESSES = 4096  #: that are remembered, some 150 bytes each; the oldest are dropped first
ALL_AT_ONCE = 1000  #: failures of all addresses in a burst, such as a hundred programs with the wrong token
ALL_SECONDS_EACH = 0.1  #: until all addresses together may fail once more
MAX_KNOWN = 256  #: addresses with the right token that are remembered: the operators and programs of one daemon

_LOOPBACK = "loopback"


class FailedLogins:
    """Token buckets by address. Any thread may call it. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._empty_until: OrderedDict[str, float] = OrderedDict()  # by address: the time when its bucket is full again
        self._all_empty_until = 0.0
        self._known: OrderedDict[str, None] = OrderedDict()  # addresses that had the right token, the latest last

    def wait(self, address: str, now: float) -> int:
        """Seconds until this address may try again; 0: now.

        The limit for all addresses together does not apply to an address that had the right token.
        """
        key = network_of(address)
        with self._lock:
            full_at = self._empty_until.get(key, now)
            all_full_at = now if key in self._known else self._all_empty_until
        left = full_at - now - (AT_ONCE - 1) * SECONDS_EACH
        all_left = all_full_at - now - (ALL_AT_ONCE - 1) * ALL_SECONDS_EACH
        return max(0, math.ceil(left), math.ceil(all_left))

    def add(self, address: str, now: float) -> None:
        """Count a failure of this address."""
        key = network_of(address)
        with self._lock:
            full_at = max(now, self._empty_until.pop(key, now))
            self._empty_until[key] = full_at + SECONDS_EACH
            self._all_empty_until = max(now, self._all_empty_until) + ALL_SECONDS_EACH
            while len(self._empty_until) > MAX_ADDRESSES:
                self._empty_until.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Remember that this address had the right token."""
        key = network_of(address)
        with self._lock:
            self._known[key] = None
            self._known.move_to_end(key)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)


def network_of(address: str) -> str:
    """The network that counts as one address: all of loopback, since a local program can use 2^24 addresses of it, and
    an IPv6 /64 network, the size that one customer gets."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return _LOOPBACK if found.is_loopback else str(ipaddress.ip_network((found, 64), strict=False))
        found = found.ipv4_mapped
    return _LOOPBACK if found.is_loopback else str(found)
