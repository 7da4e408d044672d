"""Reports request headers that templates read but the intake drops."""

import re

from router.domain.headers import dropped_header
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from router.templates import read_headers

_LIKELY = re.compile(r"headers\b.*_", re.DOTALL)


def check_read_headers(node_path: NodePath) -> None:
    """Report such headers in all templates at and below this node."""
    if not _is_likely(node_path.node):
        return
    if isinstance(node_path.node, ScalarNode):
        for name in sorted(read_headers(node_path.node.text)):
            if "_" in name:
                node_path.error_unless_recorded(dropped_header(name))
    for below in node_path.items():
        check_read_headers(below)
    for _, below in node_path.entries():
        check_read_headers(below)


def _is_likely(node: Node) -> bool:
    """Whether a text at or below the node may read such a header. It saves most rules the parsing of templates."""
    if isinstance(node, MappingNode):
        return any(_is_likely(value) for _, value in node.entries.values())
    if isinstance(node, SequenceNode):
        return any(map(_is_likely, node.items))
    return isinstance(node, ScalarNode) and isinstance(node.value, str) and _LIKELY.search(node.text) is not None
