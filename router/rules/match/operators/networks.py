"""`cidr`: the value is an address in a network."""

import ipaddress
from typing import Any

from router.domain.networks import IPAddress, network
from router.rules.match.operators.operand import Flags, OperandError, Predicate, text_operand
from router.rules.yaml.nodes import Node


def cidr(node: Node, flags: Flags) -> Predicate:  # noqa: ARG001 - the operators' common signature
    """The text is an IP address in the network. IPv4 in IPv6 counts as IPv4."""
    text = text_operand(node, what="a network such as 10.0.0.0/8")
    try:
        wanted = network(text)
    except ValueError as error:
        raise OperandError(f"not a network such as 10.0.0.0/8: {error}{_nearest_network(text)}", node) from None

    def test(value: Any) -> bool:
        address = address_in(value) if isinstance(value, str) else None
        return address is not None and address in wanted

    return test


def address_in(text: str) -> IPAddress | None:
    """The text as an address, IPv4 in IPv6 as IPv4; None if it is not an address."""
    if len(text) > 64:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _nearest_network(text: str) -> str:
    try:
        return f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        return ""
