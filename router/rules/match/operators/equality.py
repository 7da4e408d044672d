"""`equals` and `in`: the value is the same as the operand, or as one of them."""

from typing import Any

from router.rules.match.operators.operand import Flags, OperandError, Predicate, on_text
from router.rules.match.values import same, scalar_key
from router.rules.yaml.nodes import Node, ScalarNode, SequenceNode, data, describe


def equals(node: Node, flags: Flags) -> Predicate:
    """The value equals the operand, of the same type; lists and mappings are compared deeply."""
    wanted = data(node)
    if isinstance(wanted, str):
        if flags.fold:
            wanted = wanted.casefold()
        return on_text(lambda value: value == wanted, flags)
    check_text_field(node, flags)
    if wanted is None or isinstance(wanted, bool):
        return lambda value: value is wanted
    if not isinstance(wanted, list | dict):
        return lambda value: value == wanted and not isinstance(value, bool)
    return lambda value: same(value, wanted)


def check_text_field(node: Node, flags: Flags) -> None:
    """Refuse an operand that is not text for a field whose values are all text."""
    if not flags.text_only or (isinstance(node, ScalarNode) and isinstance(node.value, str)):
        return
    if isinstance(node, ScalarNode) and node.value is not None:
        raise OperandError(f'the values of this field are text; quote it: "{node.text}"', node)
    raise OperandError(
        f"the values of this field are text, never {describe(node)}; write exists: false for a missing field", node
    )


def in_list(node: Node, flags: Flags) -> Predicate:
    """The value equals one of the list."""
    if not isinstance(node, SequenceNode):
        raise OperandError(f"expected a list, found {describe(node)}", node)
    if not node.items:
        raise OperandError("an empty list matches nothing", node)
    if all(isinstance(item, ScalarNode) for item in node.items):
        return _one_of_scalars(node, flags)
    tests = [equals(item, flags) for item in node.items]
    return lambda value: any(test(value) for test in tests)


def _one_of_scalars(node: SequenceNode, flags: Flags) -> Predicate:
    values = []
    for item in node.items:
        check_text_field(item, flags)
        value = data(item)
        values.append(value.casefold() if flags.fold and isinstance(value, str) else value)
    wanted = frozenset(scalar_key(value) for value in values)

    def test(value: Any) -> bool:
        if isinstance(value, list | dict):
            return False
        if flags.fold and isinstance(value, str):
            value = value.casefold()
        return scalar_key(value) in wanted

    return test
