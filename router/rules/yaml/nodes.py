"""The nodes of a YAML document: scalars, lists and mappings, each with its line and column."""

from dataclasses import dataclass, field
from typing import Any

Scalar = str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Node:
    """A value and where it begins. Sizes count a node as often as aliases repeat it."""

    line: int  #: 1 for the first line
    column: int  #: 1 for the first character
    size: int = field(default=1, kw_only=True)  #: the number of nodes, this one and all below
    height: int = field(default=0, kw_only=True)  #: the number of levels below
    length: int = field(default=0, kw_only=True)  #: characters of all its texts


@dataclass(slots=True, eq=False)
class ScalarNode(Node):
    """Text, a number, a boolean or null."""

    value: Scalar
    text: str  #: as written, without quotes
    plain: bool = False  #: written without quotes


@dataclass(slots=True, eq=False)
class SequenceNode(Node):
    """A list."""

    items: list[Node]


@dataclass(slots=True, eq=False)
class MappingNode(Node):
    """A mapping from text to values, in file order; no key repeats."""

    entries: dict[str, tuple[ScalarNode, Node]]

    def get(self, key: str) -> Node | None:
        """The value of a key; None if the mapping lacks it."""
        entry = self.entries.get(key)
        return entry[1] if entry else None


def data(node: Node) -> Any:
    """The plain value of a node: dict, list, str, int, float, bool or None."""
    if isinstance(node, MappingNode):
        return {key: data(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [data(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


def describe(node: Node) -> str:
    """The node in the words of a message: its type, and a scalar's value, shortened."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    assert isinstance(node, ScalarNode)
    value = node.value
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"the boolean {node.text}"
    shown = node.text if len(node.text) <= 40 else node.text[:37] + "..."
    return f'the text "{shown}"' if isinstance(value, str) else f"the number {shown}"


def detach_items(root: Node) -> list[Node]:
    """Empty the lists at the top of a document; gives their items, so that the caller can free them one by one."""
    found: list[Node] = []
    for _, top in root.entries.values() if isinstance(root, MappingNode) else ():
        if isinstance(top, SequenceNode):
            found += top.items
            top.items.clear()
    return found
