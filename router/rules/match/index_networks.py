"""The index of networks: finds those that contain an address."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from router.rules.match.index_values import RuleNumbers
from router.rules.match.operators.networks import address_in
from router.runtime.pacing import paced


class Networks:
    """Networks, by version and prefix length."""

    def __init__(self, entries: Iterable[tuple[Any, int]]) -> None:
        self._by_mask: defaultdict[tuple[int, int], defaultdict[int, RuleNumbers]] = defaultdict(
            lambda: defaultdict(list)
        )
        for network, number in paced(entries):
            mask = int(network.netmask)
            self._by_mask[network.version, mask][int(network.network_address)].append(number)

    def look_up(self, text: str, found: RuleNumbers) -> None:
        """Add the rules whose network contains the address that the text is."""
        address = address_in(text)
        if address is None:
            return
        value = int(address)
        for (version, mask), networks in self._by_mask.items():
            if version == address.version:
                found += networks.get(value & mask, ())
