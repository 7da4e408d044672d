"""Addresses of link-local networks and metadata services. A forward connects to them only when its URL spells the
address.

A metadata service gives a cloud's credentials to every caller. IPv6 has many spellings of an IPv4 address; a gateway, a
tunnel or the system may translate each of them. See `router.domain.networks.embedded`.
"""

import ipaddress

from router.domain.networks import IPAddress, embedded

_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("169.254.0.0/16", "fe80::/10"),  # link-local: RFC 3927, RFC 4291
        *("fd00:ec2::/32", "fd20:ce::254/128"),  # AWS, Google Cloud
        *("fd00:c1::/32", "fd00:42::42/128", "fd00:a9fe:a9fe::/48"),  # Oracle, Scaleway, Linode
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),  # Alibaba, Oracle, Azure
    )
)


def refused(address: str) -> bool:
    """Whether forwards refuse this address. A zone (`%eth0`) makes no difference."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = embedded(ip) if isinstance(ip, ipaddress.IPv6Address) else ()
    return any(_listed(one) for one in (ip, *inner))


def _listed(ip: IPAddress) -> bool:
    return any(network.version == ip.version and ip in network for network in _REFUSED)
