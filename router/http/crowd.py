"""Which connections are cut when all are taken.

First those without a request that was accepted lately, so that who floods a server keeps nobody out: by idling, by
dripping, or by asking for what is refused. Among those the address that holds most loses first, its oldest connections
before its newer ones. That bounds what one address may hold without a number that would hurt a reverse proxy, whose
address is everybody's: where nobody else wants in, one address may hold all. A request under way is never cut.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from router.http.connection import Connection
from router.http.limits import ACCEPTED_SECONDS, GRACE_SECONDS


def to_cut(connections: Iterable[Connection], most: int, now: float) -> list[Connection]:
    """At most so many of them, in the order in which they are to be cut; now is monotonic."""
    useless: list[Connection] = []
    useful: list[Connection] = []
    since, before = now - ACCEPTED_SECONDS, now - GRACE_SECONDS
    for one in connections:
        if not one.under_way and one.opened_at < before:
            (useful if one.accepted_at > since else useless).append(one)
    useless.sort(key=lambda one: one.opened_at)
    found = _by_share(useless, most)
    if not found:  # only then those that are merely idle
        useful.sort(key=lambda one: one.active_at)
        found = _by_share(useful, 1)
    return found


def _by_share(oldest_first: list[Connection], most: int) -> list[Connection]:
    """Those of the addresses that hold most."""
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
    """Whose an address is: an IPv6 customer has a network of 2^64 addresses, so that counts as one."""
    try:
        found = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped is not None else str(ipaddress.ip_network((found, 64), strict=False))
    return ip
