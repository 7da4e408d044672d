"""IP addresses and networks; an IPv4 address inside an IPv6 one counts as the IPv4 address."""

import ipaddress
import re
from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Networks whose IPv6 addresses hold an IPv4 address in their last 32 bits.
_ENDS_IN_IPV4 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96"),  # RFC 4291 compatible and mapped, RFC 7915 translated
        "64:ff9b::/96",  # RFC 6052, the well-known prefix
    )
)
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  #: RFC 8215: a network chooses prefixes of 48 to 96 bits from it
_LENGTHS = (32, 40, 48, 56, 64, 96)  #: of prefixes that an IPv4 address follows: RFC 6052, section 2.2
_ISATAP = 0x5EFE  #: RFC 5214, section 6.1: stands before the IPv4 address, whatever its two lowest bits of flags are

_WITH_PORT = re.compile(r"\[(?P<six>[^\]]+)\](:\d+)?|(?P<four>[\d.]+):\d+")


def parse_address(text: str) -> IPAddress | None:
    """Parse an address; a port and a zone are dropped. None for any other text."""
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
    """The IPv4 addresses that a gateway, a tunnel or the system may take from an IPv6 address.

    A network chooses the prefix of its own NAT64 gateway. So after any prefix of 32 to 64 bits an IPv4 address counts
    when the rest fits: the bits after it, and the byte from bit 64 on, are zero. After an unknown prefix of 96 bits
    every address would hold one, so they do not count.
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
    """The IPv4 address after a prefix of that many bits, and the bits that must be zero: RFC 6052, section 2.2."""
    if length == 96:
        return number & 0xFFFFFFFF, 0
    reserved = number >> 56 & 0xFF  # bits 64 to 71 are not part of the address
    without = (number >> 64) << 56 | number & (1 << 56) - 1  # the 120 other bits
    behind = 120 - length - 32
    return without >> behind & 0xFFFFFFFF, reserved << 120 | without & (1 << behind) - 1


def network(text: str) -> Network:
    """Parse a network; a single address is a network of one. Raises ValueError."""
    made = ipaddress.ip_network(text)
    if (
        isinstance(made, ipaddress.IPv6Network)
        and made.network_address.ipv4_mapped is not None
        and made.prefixlen >= 96
    ):
        return ipaddress.IPv4Network((made.network_address.ipv4_mapped, made.prefixlen - 96))
    return made


def is_within(address: IPAddress | None, networks: Iterable[Network]) -> bool:
    """Whether one of the networks contains the address. False when the address is None."""
    return address is not None and any(address in one for one in networks)
