"""`prefix`, `suffix` and `contains`: the value begins with, ends with or contains a text."""

from router.rules.match.operators.equality import check_text_field, equals
from router.rules.match.operators.operand import Flags, Predicate, entries_of, needle, on_text
from router.rules.yaml.nodes import Node, ScalarNode, SequenceNode


def prefix(node: Node, flags: Flags) -> Predicate:
    """The text begins with the operand, or with an entry of it."""
    wanted = _needles(node, flags)
    return on_text(lambda value: value.startswith(wanted), flags)


def suffix(node: Node, flags: Flags) -> Predicate:
    """The text ends with the operand, or with an entry of it."""
    wanted = _needles(node, flags)
    return on_text(lambda value: value.endswith(wanted), flags)


def _needles(node: Node, flags: Flags) -> str | tuple[str, ...]:
    if isinstance(node, SequenceNode):
        return tuple(needle(item, flags) for item in entries_of(node))
    return needle(node, flags)


def contains(node: Node, flags: Flags) -> Predicate:
    """The text contains the operand, or the list contains an item that equals it."""
    item = equals(node, Flags(fold=flags.fold))
    if not (isinstance(node, ScalarNode) and isinstance(node.value, str)):
        check_text_field(node, flags)
        return lambda value: isinstance(value, list) and any(item(x) for x in value)
    wanted = needle(node, flags)
    in_text = on_text(lambda value: wanted in value, flags)
    return lambda value: in_text(value) or (isinstance(value, list) and any(item(x) for x in value))
