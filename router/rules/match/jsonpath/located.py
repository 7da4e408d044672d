"""Paths with `parent`: there each value is followed together with the value it was found in."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter

from router.domain.errors import EvaluationError
from router.rules.match.jsonpath.steps import Step, Walk, selection

_CHILDREN = (ng.Fields, ng.Wildcard, ng.Index, ng.Slice, ng_filter.Filter)
"""Segments that select from a value; functions make new ones, which have no parent."""


class _Place(NamedTuple):
    value: Any
    parent: Optional["_Place"]


def located_step(chain: Sequence[Any]) -> Step:
    """All segments of a path as one step."""
    moves = [_move(segment) for segment in chain]

    def step(values: list[Any], walk: Walk) -> list[Any]:
        places = [_Place(value, None) for value in values]
        for move in moves:
            places = move(places, walk)
            walk.work.add(len(places))
        return [place.value for place in places]

    return step


def _move(segment: Any) -> Any:
    if type(segment) is ng.Root:
        return lambda _, walk: [_Place(walk.payload, None)]
    if segment is ng.Descendants:
        return _at_or_below
    if type(segment) is ng.Parent:
        return _parents
    select = selection(segment)
    has_parent = type(segment) in _CHILDREN
    return lambda places, walk: [
        _Place(value, place if has_parent else None) for place in places for value in select(place.value, walk)
    ]


def _at_or_below(places: list[_Place], _: Walk) -> list[_Place]:
    found: list[_Place] = []
    seen: set[int] = set()
    stack = places[::-1]
    while stack:
        place = stack.pop()
        value = place.value
        if type(value) is dict or type(value) is list:
            if id(value) in seen:
                continue
            seen.add(id(value))
            below = value.values() if type(value) is dict else value
            stack += [_Place(one, place) for one in below][::-1]
        found.append(place)
    return found


def _parents(places: list[_Place], _: Walk) -> list[_Place]:
    """Each list or mapping once, however many of its values were selected."""
    found: dict[int, _Place] = {}
    for place in places:
        if place.parent is None:
            raise EvaluationError("the path can't be followed in this payload: `parent` leads above it")
        found.setdefault(id(place.parent.value), place.parent)
    return list(found.values())
