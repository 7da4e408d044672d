"""Paths with `parent`: each value is kept together with the value that contains it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter

from router.domain.errors import EvaluationError
from router.rules.match.jsonpath.steps import Step, Walk, selection

_CHILDREN = (ng.Fields, ng.Wildcard, ng.Index, ng.Slice, ng_filter.Filter)
"""Segments that select from a value. Functions compute new values, which have no parent."""


class _Located(NamedTuple):
    value: Any
    parent: Optional["_Located"]


def located_step(chain: Sequence[Any]) -> Step:
    """All segments of a path as one step."""
    moves = [_move(segment) for segment in chain]

    def step(values: list[Any], walk: Walk) -> list[Any]:
        located = [_Located(value, None) for value in values]
        for move in moves:
            located = move(located, walk)
            walk.work.add(len(located))
        return [one.value for one in located]

    return step


def _move(segment: Any) -> Any:
    if type(segment) is ng.Root:
        return lambda _, walk: [_Located(walk.payload, None)]
    if segment is ng.Descendants:
        return _at_or_below
    if type(segment) is ng.Parent:
        return _parents
    select = selection(segment)
    has_parent = type(segment) in _CHILDREN
    return lambda located, walk: [
        _Located(value, one if has_parent else None) for one in located for value in select(one.value, walk)
    ]


def _at_or_below(located: list[_Located], _: Walk) -> list[_Located]:
    found: list[_Located] = []
    seen: set[int] = set()
    stack = located[::-1]
    while stack:
        top = stack.pop()
        value = top.value
        if type(value) is dict or type(value) is list:
            if id(value) in seen:
                continue
            seen.add(id(value))
            below = value.values() if type(value) is dict else value
            stack += [_Located(one, top) for one in below][::-1]
        found.append(top)
    return found


def _parents(located: list[_Located], _: Walk) -> list[_Located]:
    """The containers of the values, each once."""
    found: dict[int, _Located] = {}
    for one in located:
        if one.parent is None:
            raise EvaluationError("the path can't be followed in this payload: `parent` leads above it")
        found.setdefault(id(one.parent.value), one.parent)
    return list(found.values())
