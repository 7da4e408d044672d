"""The operands of operators, and the flags that change how operators judge."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from router.rules.match.predicates import any_of
from router.rules.match.values import decimal, is_number
from router.rules.yaml.nodes import Node, ScalarNode, SequenceNode, describe

Predicate = Callable[[Any], bool]
"""Judges one value. False for a value of a type that the operator does not know."""


class OperandError(Exception):
    """An operand that the operator does not accept; the message says what it accepts, `node` where it is."""

    def __init__(self, message: str, node: Node, *, is_new: bool = False) -> None:
        super().__init__(message)
        self.node = node
        self.is_new = is_new  #: earlier versions accepted it


@dataclass(frozen=True, slots=True)
class Flags:
    """Settings of the field and of `ignore_case` that change how an operator judges."""

    fold: bool = False  #: ignore_case: true
    text_only: bool = False  #: all values of the field are text, so comparing with another type is a mistake
    decimals: bool = False  #: numeric operators read decimals in text (header, query, form)
    elements: dict[int, Any] = field(
        default_factory=dict, compare=False, repr=False
    )  #: compiled conditions of `elem`, by the id of their node


Operator = Callable[[Node, Flags], Predicate]
"""Compiles an operand. Raises OperandError."""


def text_operand(node: Node, *, what: str = "text") -> str:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return node.value
    cure = "; quote it" if isinstance(node, ScalarNode) and node.value is not None else ""
    raise OperandError(f"expected {what}, found {describe(node)}{cure}", node)


def needle(node: Node, flags: Flags) -> str:
    text = text_operand(node)
    if not text:
        raise OperandError("empty text is in every text; use exists: true, or equals: '' for empty text", node)
    return text.casefold() if flags.fold else text


def on_text(test: Callable[[str], bool], flags: Flags) -> Predicate:
    if flags.fold:
        return lambda value: isinstance(value, str) and test(value.casefold())
    return lambda value: isinstance(value, str) and test(value)


def one_of(operator: Operator) -> Operator:
    """The operator, whose operand may also be a list: the value must match one of its entries."""

    def build(node: Node, flags: Flags) -> Predicate:
        if not isinstance(node, SequenceNode):
            return operator(node, flags)
        return any_of([operator(item, flags) for item in entries_of(node)])

    return build


def entries_of(node: SequenceNode) -> list[Node]:
    """The entries of an operand that is a list. Raises OperandError."""
    if not node.items:
        raise OperandError("an empty list matches nothing", node, is_new=True)
    for item in node.items:
        if isinstance(item, SequenceNode):
            raise OperandError("a list in a list; write the entries in one list", item, is_new=True)
    return node.items


def number_operand(node: Node) -> int | float:
    if isinstance(node, ScalarNode) and is_number(node.value):
        return node.value  # type: ignore[return-value]  # is_number has just said so
    cure = "; remove the quotes" if isinstance(node, ScalarNode) and decimal(node.text) is not None else ""
    raise OperandError(f"expected a number, found {describe(node)}{cure}", node)
