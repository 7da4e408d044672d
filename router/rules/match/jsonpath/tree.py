"""Walks jsonpath-ng's syntax tree."""

from collections.abc import Iterator
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable

MAX_NESTED = 60  #: levels of parentheses, filters and negations; each takes stack when the path is followed


def children(node: Any) -> list[Any]:
    """The paths inside a node."""
    found: list[Any] = []
    for name in ("left", "right", "target", "expressions", "operands", "value"):
        inner = getattr(node, name, None)
        found += [x for x in (inner if isinstance(inner, list) else [inner]) if isinstance(x, ng.JSONPath)]
    if isinstance(node, ng_iterable.SortedThis):
        found += [path for path, _ in node.expressions or []]
    return found


def nodes(tree: Any, *, filters: bool = True) -> Iterator[Any]:
    """All nodes of the tree; `filters=False` leaves out those inside filters."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if filters or type(node) is not ng_filter.Filter:
            stack += children(node)


def is_nested(tree: Any, limit: int = MAX_NESTED) -> bool:
    """Whether the tree, apart from chains of segments, is nested deeper than the limit."""
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > limit:
            return True
        left = getattr(node, "left", None)
        stack += [(inner, depth if inner is left else depth + 1) for inner in children(node)]
    return False


def segments(tree: Any) -> list[Any]:
    """The tree as a chain of segments; `..` stands in it as the type `ng.Descendants`.

    Parentheses change nothing: for several values a segment gives the results of each, one after the other.
    """
    found: list[Any] = []
    while isinstance(tree, ng.Child | ng.Descendants):
        found += reversed(segments(tree.right))
        if isinstance(tree, ng.Descendants):
            found.append(ng.Descendants)
        tree = tree.left
    found.append(tree)
    return found[::-1]


def names(tree: Any, start: type) -> tuple[str, ...] | None:
    """The names of a path such as `$.a.b` (in a filter `@.a.b`), the most common form; None for others."""
    found: list[str] = []
    while isinstance(tree, ng.Child) and isinstance(tree.right, ng.Fields) and len(tree.right.fields) == 1:
        found.append(tree.right.fields[0])
        tree = tree.left
    return tuple(reversed(found)) if type(tree) is start else None


def is_single(node: Any) -> bool:
    """Whether a segment selects at most one value from each value."""
    if isinstance(node, ng.Fields | ng.Index):
        return len(node.fields if isinstance(node, ng.Fields) else node.indices) == 1
    return type(node) in (ng.Root, ng.This, ng.Child)
