"""Filters, `[?…]`: select the items of a list, or the values of a mapping, for which an expression holds."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter

from router.rules.match.jsonpath.steps import Select, Walk, follow_names, run, steps
from router.rules.match.jsonpath.tree import names, nodes
from router.rules.match.values import is_number, same

OPERAND_STEPS = 3  #: counted for each path begun at an item, which takes some 0.5 µs

_Read = Callable[[Any, Walk], list[Any]]
"""The values that a path inside a filter selects for an item."""

_Test = Callable[[Any, Walk], bool]
"""Whether an item passes."""


def filter_selection(node: Any) -> Select:
    """The items that pass every expression."""
    passes = filter_test(node)

    def select(value: Any, walk: Walk) -> Sequence[Any]:
        items = value if type(value) is list else value.values() if type(value) is dict else ()
        walk.work.add(len(items))
        return [item for item in items if passes(item, walk)]

    return select


def filter_test(node: Any) -> _Test:
    """Whether an item passes every expression."""
    return _each([_test(expression) for expression in node.expressions])


def looks_again(node: Any) -> bool:
    """Whether a path inside the filter may look at a value more than once, or may raise."""
    inner = [inner for inner in nodes(node) if inner is not node]
    return any(type(one) not in _PLAIN for one in inner)


_PLAIN = (ng.This, ng.Child, ng.Fields, ng_filter.Expression, ng_filter.And, ng_filter.Or)


def _each(tests: list[_Test]) -> _Test:
    return tests[0] if len(tests) == 1 else lambda item, walk: all(test(item, walk) for test in tests)


def _test(node: Any) -> _Test:
    """The test of one expression."""
    if isinstance(node, ng_filter.And | ng_filter.Or):
        tests = [_test(operand) for operand in node.operands]
        if isinstance(node, ng_filter.And):
            return _each(tests)
        return lambda item, walk: any(test(item, walk) for test in tests)
    if isinstance(node.target, ng_filter.And):  # !(…)
        negated = _test(node.target)
        return lambda item, walk: not negated(item, walk)
    read = _operand(node.target)
    if isinstance(node.value, ng.JSONPath):
        test = _compared_with(read, node.op, _operand(node.value))
        operands = [node.target, node.value]
    else:
        test = _compared(read, node.op, node.value)
        operands = [node.target]
    return _once(test) if all(map(_is_from_root, operands)) else test


def _is_from_root(path: Any) -> bool:
    while isinstance(path, ng.Child | ng.Descendants):
        path = path.left
    return type(path) is ng.Root


def _once(test: _Test) -> _Test:
    """A test that reads only the whole payload: its result is the same for every item, so it runs once."""

    def remembered(item: Any, walk: Walk) -> bool:
        if test not in walk.constants:
            walk.constants[test] = test(item, walk)
        return bool(walk.constants[test])

    return remembered


def _operand(node: Any) -> _Read:
    """A function for the values that a path selects, starting from the item (`@`) or the payload (`$`)."""
    found = names(node, ng.This)
    if found is not None:
        follow = follow_names(found)
        return lambda item, _: follow(item)
    made = steps(node)

    def read_item(item: Any, walk: Walk) -> list[Any]:
        walk.work.add(OPERAND_STEPS)
        return run(made, [item], walk)

    def read(_: Any, walk: Walk) -> list[Any]:
        if read not in walk.constants:
            walk.constants[read] = run(made, [walk.payload], walk)
        values: list[Any] = walk.constants[read]
        walk.work.add(len(values))  # they are compared again with each item
        return values

    return read if _is_from_root(node) else read_item


def _compared(read: _Read, op: str | None, wanted: Any) -> _Test:
    if op is None:
        return lambda item, walk: bool(read(item, walk))
    if op == "!":
        return lambda item, walk: not read(item, walk)

    def test(item: Any, walk: Walk) -> bool:
        values = read(item, walk)
        if not values:
            return op == "!="  # a missing value differs from every literal
        for value in values:  # noqa: SIM110 - a generator would cost more than the loop
            if _compare(op, value, wanted, walk):
                return True
        return False

    return test


def _compared_with(read: _Read, op: str, other: _Read) -> _Test:
    """Compare the values of two paths. A missing value equals another missing value, and nothing else."""

    def test(item: Any, walk: Walk) -> bool:
        left, right = read(item, walk), other(item, walk)
        if not left or not right:
            return op not in ("<", ">") and (not left and not right) is (op != "!=")
        return any(_compare(op, a, b, walk) for a in left for b in right)

    return test


def _compare(op: str, left: Any, right: Any, walk: Walk) -> bool:
    """Compare by type, as RFC 9535 does: only two numbers, or two texts, have an order."""
    compare = _ORDERED.get(op)
    if compare is None:
        return same(left, right, walk.work.add) is (op != "!=")
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(compare(left, right))
    return "=" in op and same(left, right, walk.work.add)


_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
