"""Reports headers of a request that a template reads and no request has."""

import re

from router.headers import dropped_header
from router.rules.document import MappingNode, Node, ScalarNode, SequenceNode
from router.rules.spot import Spot
from router.templates import read_headers

_LIKELY = re.compile(r"headers\b.*_", re.DOTALL)


def check_read_headers(spot: Spot) -> None:
    """Report, at every template at and below the spot, header names that the intake drops."""
    if not _is_likely(spot.node):
        return
    if isinstance(spot.node, ScalarNode):
        for name in sorted(read_headers(spot.node.text)):
            if "_" in name:
                spot.error_now(dropped_header(name))
    for below in spot.items():
        check_read_headers(below)
    for _, below in spot.entries():
        check_read_headers(below)


def _is_likely(node: Node) -> bool:
    """Whether a text at or below the node may read such a header; most rules end here, before anything is parsed."""
    if isinstance(node, MappingNode):
        return any(_is_likely(value) for _, value in node.entries.values())
    if isinstance(node, SequenceNode):
        return any(map(_is_likely, node.items))
    return isinstance(node, ScalarNode) and isinstance(node.value, str) and _LIKELY.search(node.text) is not None
