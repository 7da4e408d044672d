"""`gt`, `gte`, `lt` and `lte`: how a value compares with a bound, a number or a text.

Numbers compare with numbers only, texts with texts only, by code point. So ISO 8601 dates compare by time.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

from router.rules.match.operators.operand import (
    Flags,
    OperandError,
    Operator,
    Predicate,
    number_operand,
)
from router.rules.match.values import decimal, is_number
from router.rules.yaml.nodes import Node, ScalarNode

_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def _ordered(compare: Callable[[Any, Any], bool]) -> Operator:
    def build(node: Node, flags: Flags) -> Predicate:
        bound = bound_operand(node)
        if isinstance(bound, str):
            return lambda value: isinstance(value, str) and compare(value, bound)
        if not flags.decimals:
            return lambda value: is_number(value) and compare(value, bound)

        def test(value: Any) -> bool:
            if isinstance(value, str):
                value = decimal(value)
            return is_number(value) and compare(value, bound)

        return test

    return build


COMPARISONS = {
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
}


def bound_operand(node: Node) -> int | float | str:
    """A number, or a text that is not a number. Raises OperandError."""
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str):
        return number_operand(node)
    if _NUMBER.fullmatch(node.value.strip()):
        number = node.value.strip()
        raise OperandError(f'"{number}" in quotes is compared as a text; write {number} for a number', node)
    if not node.value:
        raise OperandError("empty text comes before every other; write length: {gt: 0}", node)
    return node.value


def mixed_bound(bounds: dict[str, Node]) -> Node | None:
    """The operator of the first bound that is of another kind than those before it; None if all are alike."""
    kinds = {name: isinstance(node.value, str) for name, node in bounds.items() if isinstance(node, ScalarNode)}
    first = next(iter(kinds.values()), None)
    return next((bounds[name] for name, kind in kinds.items() if kind is not first), None)
