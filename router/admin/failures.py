"""How many wrong tokens an address may send: a bucket for each, so that guessing takes longer than anybody has."""

import ipaddress
import math
import threading
from collections import OrderedDict

AT_ONCE = 10  #: failures that an address may make at once: somebody who pastes the wrong token a few times
SECONDS_EACH = 1.0  #: after which one more is allowed
MAX_ADDRESSES = 4096  #: that are remembered, some 150 bytes each; whoever failed longest ago is forgotten first


class Failures:
    """Any thread may call it. Times are monotonic, seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._empty_until: OrderedDict[str, float] = OrderedDict()  # by address: when its bucket is full again

    def wait(self, address: str, now: float) -> int:
        """Seconds for which nothing from there is looked at; 0: it may try."""
        with self._lock:
            full_at = self._empty_until.get(_network(address), now)
        left = full_at - now - (AT_ONCE - 1) * SECONDS_EACH
        return max(0, math.ceil(left / SECONDS_EACH))

    def add(self, address: str, now: float) -> None:
        """It failed once more."""
        key = _network(address)
        with self._lock:
            full_at = max(now, self._empty_until.pop(key, now))
            self._empty_until[key] = full_at + SECONDS_EACH
            while len(self._empty_until) > MAX_ADDRESSES:
                self._empty_until.popitem(last=False)


def _network(address: str) -> str:
    """An IPv6 customer has a network of 2^64 addresses, so that counts as one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
