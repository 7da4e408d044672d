"""Which connections are closed for new ones when all are taken.

First those whose last accepted request is long ago or that never had one. So a flood of idle, slow or refused
connections keeps no real sender out. Among these the address with the most connections loses first, its oldest
connections before its newer ones. One address may still hold all connections while nobody else connects: behind a
reverse proxy all senders share one address. A connection with a request under way is never closed.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from router.http.connection import Connection
from router.http.limits import ACCEPTED_SECONDS, GRACE_SECONDS


def to_evict(connections: Iterable[Connection], most: int, now: float) -> list[Connection]:
    """Up to `most` connections, the first to close first; now is monotonic."""
    useless: list[Connection] = []
    useful: list[Connection] = []
    since, before = now - ACCEPTED_SECONDS, now - GRACE_SECONDS
    for one in connections:
        if not one.under_way and one.opened_at < before:
            (useful if one.accepted_at > since else useless).append(one)
    useless.sort(key=lambda one: one.opened_at)
    found = _by_share(useless, most)
    if not found:  # then the one that has been idle the longest
        useful.sort(key=lambda one: one.active_at)
        found = _by_share(useful, 1)
    return found


def _by_share(oldest_first: list[Connection], most: int) -> list[Connection]:
    """At most `most` connections, taken from the addresses with the most connections."""
    held: dict[str, int] = {}
    ranked: list[tuple[int, int, Connection]] = []
    for place, one in enumerate(reversed(oldest_first)):
        key = network(one.ip)
        held[key] = held.get(key, 0) + 1
        ranked.append((held[key], place, one))
    ranked.sort(key=lambda rank: rank[:2], reverse=True)
    return [one for _, _, one in ranked[:most]]


@lru_cache(maxsize=4096)
def network(ip: str) -> str:
    """The key by which addresses are counted. An IPv6 customer has 2^64 addresses, so a /64 network counts as one."""
    try:
        found = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((found, 64), strict=False))
    return ip
