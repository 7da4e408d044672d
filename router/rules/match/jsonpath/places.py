"""Finds the items that a path selects and the place of each, for `for_each`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jsonpath_ng import jsonpath as ng

from router.domain.errors import EvaluationError
from router.domain.items import Item, PlaceKey, place_of, written
from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.parse import parse
from router.rules.match.jsonpath.tree import is_single, nodes, segments
from router.rules.match.jsonpath.vet import vet

_SEGMENTS = (ng.Root, ng.This, ng.Child, ng.Descendants, ng.Fields, ng.Index, ng.Slice, ng.Wildcard)
Above = tuple["Above | None", PlaceKey]
"""A key, and the keys above it."""
Located = tuple[Any, Above | None]
Step = Callable[[Iterable[Located]], Iterable[Located]]
_Expand = Callable[[Any], Iterable[tuple[PlaceKey, Any]]]

FindItems = Callable[[Any, int], list[Item]]
"""From a payload to its items in document order. Raises EvaluationError if there are more than the limit."""


def compile_items(text: str) -> FindItems:
    """Compile a path without filters and functions. Raises PathError, whose text holds the cure."""
    tree = parse(text)
    vet(tree, text)
    every = list(nodes(tree))
    if any(type(node) not in _SEGMENTS for node in every):
        raise PathError(f"{text} has a filter or a function; for_each takes a path only; test the rest in match")
    if all(map(is_single, every)):
        raise PathError(f'this selects one value; write "{text}[*]" for each element of a list')
    chain = [step_to(part) for part in segments(tree) if type(part) not in (ng.Root, ng.This)]

    def find(payload: Any, most: int) -> list[Item]:
        located: Iterable[Located] = [(payload, None)]
        for step in chain:
            located = step(located)
        found: list[Item] = []
        list_of: Above | None = None  #: the place of the list whose items come next
        prefix = "$"
        for value, place in located:
            if len(found) >= most:
                raise EvaluationError(f"the payload has more than {most:,} items at {text}")
            assert place is not None  # a path to one value is refused
            above, key = place
            if above is not list_of:
                list_of, prefix = above, place_of(keys_of(above))
            found.append(Item(prefix + written(key), len(found), value))
        return found

    return find


def compile_item_path(text: str) -> str:
    """The path below an item, given as `$…`. Raises PathError for filters and functions."""
    tree = parse(text)
    vet(tree, text)
    if any(type(node) not in _SEGMENTS for node in nodes(tree)):
        raise PathError("a path below item can't have filters or functions; use elem: below it")
    return text


def keys_of(place: Above | None) -> list[PlaceKey]:
    """The keys from the payload on."""
    keys: list[PlaceKey] = []
    while place is not None:
        place, key = place
        keys.append(key)
    return keys[::-1]


def step_to(part: Any) -> Step:
    """From the values that the path has reached to the next, each with its place."""
    if part is ng.Descendants:
        return _descend
    expand = _expand(part)
    return lambda located: ((value, (place, key)) for above, place in located for key, value in expand(above))


def _descend(located: Iterable[Located]) -> Iterator[Located]:
    """`..`: each list and mapping, and those below it, in document order, once."""
    seen: set[int] = set()
    for start in located:
        stack = [start]
        while stack:
            value, place = stack.pop()
            if id(value) in seen or type(value) not in (list, dict):
                continue
            seen.add(id(value))
            yield value, place
            stack += [(inner, (place, key)) for key, inner in each_below(value) if type(inner) in (list, dict)][::-1]


def _expand(node: Any) -> _Expand:
    if type(node) is ng.Fields:
        names = tuple(node.fields)
        return lambda value: [(n, value[n]) for n in names if n in value] if type(value) is dict else ()
    if type(node) is ng.Wildcard:
        return each_below
    if type(node) is ng.Index:
        indices = tuple(node.indices)
        return lambda value: _at(value, lambda size: dict.fromkeys(i % size for i in indices if -size <= i < size))
    part = slice(node.start, node.end, node.step)
    return lambda value: _at(value, lambda size: range(*part.indices(size)) if part.step != 0 else ())


def each_below(value: Any) -> Iterable[tuple[PlaceKey, Any]]:
    """The values in a list or mapping, with their keys; none in other values."""
    if type(value) is list:
        return enumerate(value)
    return value.items() if type(value) is dict else ()


def _at(value: Any, indices: Callable[[int], Iterable[int]]) -> Iterable[tuple[PlaceKey, Any]]:
    return [(i, value[i]) for i in indices(len(value))] if type(value) is list else ()
