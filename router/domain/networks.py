"""Addresses and networks, with IPv4 in IPv6 read as the IPv4 that it is."""

import ipaddress
import re
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IPv6 addresses that hold an IPv4 address in their last 32 bits.
_ENDS_IN_IPV4 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96"),  # RFC 4291 compatible and mapped, RFC 7915 translated
        "64:ff9b::/96",  # RFC 6052, the well-known prefix
    )
)
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  #: RFC 8215: prefixes of 48 to 96 bits that a network chose
_LENGTHS = (32, 40, 48, 56, 64, 96)  #: of prefixes with an IPv4 address behind them: RFC 6052, section 2.2
_ISATAP = 0x5EFE  #: RFC 5214, section 6.1: stands before the IPv4 address, whatever its two lowest bits of flags are

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


def embedded(address: ipaddress.IPv6Address) -> set[ipaddress.IPv4Address]:
    """Every IPv4 address that a gateway, a tunnel or the system may take from an IPv6 one.

    A network chooses the prefix of its own NAT64 gateway, so behind any prefix of 32 to 64 bits an IPv4 address is
    seen when the rest fits too: the bits after it, and the byte from bit 64 on, are zero. Behind an unknown prefix of
    96 bits every address would have one, so none is seen there.
    """
    number = int(address)
    found = {inner for inner in (address.sixtofour, *(address.teredo or ())) if inner is not None}
    if any(address in one for one in _ENDS_IN_IPV4) or (number >> 32) & 0xFCFFFFFF == _ISATAP:
        found.add(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    for length in _LENGTHS:
        inner, rest = _after_prefix(number, length)
        if (address in _LOCAL_NAT64 and length >= _LOCAL_NAT64.prefixlen) or (rest == 0 and length < 96):
            found.add(ipaddress.IPv4Address(inner))
    return found


def _after_prefix(number: int, length: int) -> tuple[int, int]:
    """The IPv4 address after a prefix of that many bits, and what has to be zero: RFC 6052, section 2.2."""
    if length == 96:
        return number & 0xFFFFFFFF, 0
    reserved = number >> 56 & 0xFF  # bits 64 to 71 are no part of it
    without = (number >> 64) << 56 | number & (1 << 56) - 1  # the 120 other bits
    behind = 120 - length - 32
    return without >> behind & 0xFFFFFFFF, reserved << 120 | without & (1 << behind) - 1


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
