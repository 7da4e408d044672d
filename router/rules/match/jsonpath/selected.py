"""Finds the places that a path selects, also through filters, for `redact`."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter

from router.domain.items import PlaceKey
from router.payload.redact.patterns import Pattern
from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.filters import filter_test
from router.rules.match.jsonpath.limits import Work
from router.rules.match.jsonpath.parse import parse
from router.rules.match.jsonpath.places import Located, each_below, keys_of, step_to
from router.rules.match.jsonpath.steps import Walk
from router.rules.match.jsonpath.tree import nodes, segments
from router.rules.match.jsonpath.vet import vet

_SELECTING = (ng.Root, ng.This, ng.Child, ng.Descendants, ng.Fields, ng.Index, ng.Slice, ng.Wildcard, ng_filter.Filter)
_Move = Callable[[Iterable[Located], Walk], Iterable[Located]]

FindPlaces = Callable[[Any], list[Sequence[PlaceKey]]]
"""From a payload to the places. Raises EvaluationError when that is too much work."""


@lru_cache(maxsize=10_000)
def compile_places(text: str) -> tuple[FindPlaces, Pattern]:
    """Compile a path without functions, with what it could select in any payload. Raises PathError."""
    tree = parse(text)
    vet(tree, text)
    if any(type(node) not in _SELECTING for node in nodes(tree, filters=False)):
        raise PathError(f"{text} has a function, which makes new values; write the path of a value that is sent")
    parts = [part for part in segments(tree) if type(part) not in (ng.Root, ng.This)]
    moves = [_move(part) for part in parts]
    steps = len(list(nodes(tree)))

    def find(payload: Any) -> list[Sequence[PlaceKey]]:
        walk = Walk(payload, Work(payload))
        walk.work.enter(find, steps)
        located: Iterable[Located] = [(payload, None)]
        for move in moves:
            located = move(located, walk)
        return [keys_of(place) for _, place in located]

    return find, _pattern(parts)


def _move(part: Any) -> _Move:
    if type(part) is not ng_filter.Filter:
        step = step_to(part)
        return lambda located, _: step(located)
    passes = filter_test(part)

    def move(located: Iterable[Located], walk: Walk) -> Iterable[Located]:
        for value, place in located:
            for key, inner in each_below(value):
                walk.work.add(1)
                if passes(inner, walk):
                    yield inner, (place, key)

    return move


def _pattern(parts: Sequence[Any]) -> Pattern:
    found: list[frozenset[PlaceKey] | None] = []
    for part in parts:
        if part is ng.Descendants:
            break
        found.append(_keys(part))
    return tuple(found)


def _keys(part: Any) -> frozenset[PlaceKey] | None:
    if type(part) is ng.Fields:
        return frozenset(part.fields)
    if type(part) is ng.Index and all(index >= 0 for index in part.indices):
        return frozenset(part.indices)
    return None
