"""Compiles `for_each`: a path, or `{path, most}`."""

from router.rules.match.conditions import Condition
from router.rules.match.for_each import MOST_ITEMS, ForEach, for_each, item_list
from router.rules.match.jsonpath import PathError
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from router.rules.yaml.schema import ForEachOptions
from router.templates import read_names

_ITEM = frozenset({"item", "item_index"})


def load_for_each(node_path: NodePath, condition: Condition) -> ForEach | None:
    """Compile the `for_each` of a rule with this condition; None without one, and after an error."""
    if not node_path.has("for_each"):
        return None
    at = node_path.at("for_each")
    most = MOST_ITEMS
    if isinstance(at.node, MappingNode):
        options = read(at, ForEachOptions)
        if options is None:
            return None
        most, at = options.most, at.at("path")
    text = at.expect_text('a path such as "$.alerts[*]"')
    if text is None:
        return None
    try:
        if not text.startswith("$"):
            raise PathError(f'expected a path into the payload, such as "$.{text.removesuffix("[*]")}[*]"')
        return for_each(item_list(text), most, condition)
    except PathError as error:
        at.error(str(error))
        return None


def check_item_names(node_path: NodePath, why: str) -> None:
    """Report templates at and below this node that read the item. `why` says why there is no item."""
    node: Node = node_path.node
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and "item" in node.value:
        for name in sorted(read_names(node.value) & _ITEM):
            node_path.error(f'unknown name "{name}"; {why}')
    for below in node_path.items() if isinstance(node, SequenceNode) else ():
        check_item_names(below, why)
    for _, below in node_path.entries() if isinstance(node, MappingNode) else ():
        check_item_names(below, why)
