"""`length`: how long a text, list or mapping is."""

from collections.abc import Callable

from router.rules.match.operators.equality import equals
from router.rules.match.operators.operand import (
    Flags,
    OperandError,
    Predicate,
    number_operand,
)
from router.rules.match.operators.ordered import COMPARISONS
from router.rules.yaml.nodes import MappingNode, Node


def length(node: Node, flags: Flags) -> Predicate:  # noqa: ARG001 - the operators' common signature
    """The number of characters, items or keys equals the operand, or passes its map of comparisons."""
    if isinstance(node, MappingNode):
        test = _comparisons(node)
    else:
        wanted = number_operand(node)

        def test(size: int) -> bool:
            return size == wanted

    return lambda value: isinstance(value, str | list | dict) and test(len(value))


def _comparisons(node: MappingNode) -> Callable[[int], bool]:
    if not node.entries:
        raise OperandError("expected gt, gte, lt, lte or equals, found nothing", node)
    tests = []
    for name, (key, operand) in node.entries.items():
        if name not in ("gt", "gte", "lt", "lte", "equals"):
            raise OperandError(f'"{name}" doesn\'t compare lengths; use gt, gte, lt, lte or equals', key)
        number_operand(operand)
        tests.append(_COMPARE[name](operand, Flags()))
    return lambda size: all(test(size) for test in tests)


_COMPARE = {**COMPARISONS, "equals": equals}
