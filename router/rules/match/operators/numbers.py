"""`gt`, `gte`, `lt` and `lte`: how a number compares with a bound."""

from collections.abc import Callable
from typing import Any

from router.rules.match.operators.operand import (
    Flags,
    Predicate,
    number_operand,
)
from router.rules.match.values import decimal, is_number
from router.rules.yaml.nodes import Node


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Node, Flags], Predicate]:
    def build(node: Node, flags: Flags) -> Predicate:
        bound = number_operand(node)

        def test(value: Any) -> bool:
            if flags.decimals and isinstance(value, str):
                value = decimal(value)
            return is_number(value) and compare(value, bound)

        return test

    return build


COMPARISONS = {
    "gt": _ordered(lambda value, bound: value > bound),
    "gte": _ordered(lambda value, bound: value >= bound),
    "lt": _ordered(lambda value, bound: value < bound),
    "lte": _ordered(lambda value, bound: value <= bound),
}
