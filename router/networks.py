"""Addresses and networks, with IPv4 in IPv6 read as the IPv4 that it is."""

import ipaddress
import re
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"\[(?P<six>[^\]]+)\](:\d+)?|(?P<four>[\d.]+):\d+")


def parse_address(text: str) -> Address | None:
    """An address, without port and zone; IPv4 in IPv6 is IPv4. None when it is none."""
    found = _WITH_PORT.fullmatch(text)
    if found:
        text = found["six"] or found["four"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network(text: str) -> Network:
    """A network; a bare address is exactly itself, and IPv4 in IPv6 is IPv4. Raises ValueError."""
    made = ipaddress.ip_network(text)
    if (
        isinstance(made, ipaddress.IPv6Network)
        and made.network_address.ipv4_mapped is not None
        and made.prefixlen >= 96
    ):
        return ipaddress.IPv4Network((made.network_address.ipv4_mapped, made.prefixlen - 96))
    return made


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether one of the networks has the address; no address is in none."""
    return address is not None and any(address in one for one in networks)
