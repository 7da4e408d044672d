"""Compiles the segments of a path: each is a step from a list of values to the next list.

No step gives a place twice: it goes one level down from different places, or (`..`) visits each list and mapping once.
So each segment of a path without filters costs at most as much as a walk through the payload.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable
from jsonpath_ng.ext import string as ng_string

from router.rules.match.jsonpath import functions
from router.rules.match.jsonpath.limits import Work
from router.rules.match.jsonpath.tree import segments


class Walk:
    """The state of following one path in one payload."""

    __slots__ = ("constants", "payload", "work")

    def __init__(self, payload: Any, work: Work) -> None:
        self.payload = payload
        self.work = work
        self.constants: dict[object, Any] = {}  #: results of those parts of filters that read only the whole payload


Step = Callable[[list[Any], Walk], list[Any]]
"""From a list of values to the next. Raises EvaluationError."""

Select = Callable[[Any, Walk], Sequence[Any]]
"""From one value to those that a segment selects. Raises EvaluationError."""


def run(made: Sequence[Step], values: list[Any], walk: Walk) -> list[Any]:
    """Take all steps, from these values to the result."""
    for step in made:
        values = step(values, walk)
        if not values:
            break
    return values


def steps(tree: Any) -> list[Step]:
    """The steps of a path."""
    chain = [part for part in segments(tree) if type(part) is not ng.This]
    if any(type(part) is ng.Parent for part in chain):
        from router.rules.match.jsonpath.located import located_step  # noqa: PLC0415 - it needs the selections from here

        return [located_step(chain)]
    made: list[Step] = []
    at = 0
    while at < len(chain):
        part, following = chain[at], chain[at + 1] if at + 1 < len(chain) else None
        if part is ng.Descendants and type(following) is ng.Fields and len(following.fields) == 1:
            made.append(_descend_to(following.fields[0]))
            at += 2
            continue
        made.append(_descend(following) if part is ng.Descendants else _step(part))
        at += 1
    return made


def follow_names(names: tuple[str, ...]) -> Callable[[Any], list[Any]]:
    """Follow a path of single names."""

    def follow(payload: Any) -> list[Any]:
        value = payload
        for name in names:
            if type(value) is not dict or name not in value:
                return []
            value = value[name]
        return [value]

    return follow


def _step(node: Any) -> Step:
    if type(node) is ng.Root:
        return lambda _, walk: [walk.payload]
    if type(node) is ng.Fields and len(node.fields) == 1:
        return _named(node.fields[0])
    select = selection(node)

    def step(values: list[Any], walk: Walk) -> list[Any]:
        if len(values) == 1:
            found = list(select(values[0], walk))
        else:
            found = []
            for value in values:
                found += select(value, walk)
        walk.work.add(len(found))
        return found

    return step


def _named(name: str) -> Step:
    """`.name`, the most common segment."""
    return lambda values, _: [value[name] for value in values if type(value) is dict and name in value]


def selection(node: Any) -> Select:
    """The selection of a segment other than `$`, `..` and `parent`."""
    return _SELECTIONS[type(node)](node)


def _fields(node: Any) -> Select:
    names = tuple(node.fields)
    return lambda value, _: [value[name] for name in names if name in value] if type(value) is dict else ()


def _wildcard(_: Any) -> Select:
    def select(value: Any, _: Walk) -> Sequence[Any]:
        if type(value) is list:
            return value
        return list(value.values()) if type(value) is dict else ()

    return select


def _index(node: Any) -> Select:
    indices = tuple(node.indices)

    def select(value: Any, _: Walk) -> Sequence[Any]:
        if type(value) is not list:
            return ()
        size = len(value)
        return [value[i] for i in dict.fromkeys(i % size for i in indices if -size <= i < size)]

    def one(value: Any, _: Walk) -> Sequence[Any]:
        return (value[index],) if type(value) is list and -len(value) <= index < len(value) else ()

    index = indices[0]
    return one if len(indices) == 1 else select


def _slice(node: Any) -> Select:
    if node.step == 0:
        return lambda *_: ()
    part = slice(node.start, node.end, node.step)
    return lambda value, _: value[part] if type(value) is list else ()


def _filter(node: Any) -> Select:
    from router.rules.match.jsonpath.filters import filter_selection  # noqa: PLC0415 - filters hold paths, so steps

    return filter_selection(node)


_SELECTIONS: dict[type, Callable[[Any], Select]] = {
    ng.Fields: _fields,
    ng.Wildcard: _wildcard,
    ng.Index: _index,
    ng.Slice: _slice,
    ng_filter.Filter: _filter,
    ng_iterable.Len: functions.length,
    ng_iterable.Keys: functions.keys,
    ng_iterable.SortedThis: functions.in_order,
    ng_string.Split: functions.split,
}


def looks_into(node: Any) -> bool:
    """Whether a segment selects only from lists and mappings, never from scalars, which are most of a payload."""
    return type(node) in (ng.Fields, ng.Wildcard, ng.Index, ng.Slice, ng_filter.Filter)


def _descend(following: Any) -> Step:
    """`..`: each value and all below it, in document order, limited to those that the next segment can select from."""
    into = looks_into(following)

    def step(values: list[Any], walk: Walk) -> list[Any]:
        found: list[Any] = []
        looked_at = 0
        seen = _Seen(values)
        stack = _containers(values) if into else values[::-1]
        while stack:
            value = stack.pop()
            if type(value) is dict or type(value) is list:
                if seen.again(value):
                    continue
                looked_at += len(value)
                below: Iterable[Any] = value.values() if type(value) is dict else value
                stack += _containers(below) if into else list(below)[::-1]
            found.append(value)
        walk.work.add(looked_at)
        return found

    return step


def _descend_to(name: str) -> Step:
    """`..name`, the most common use of `..`."""

    def step(values: list[Any], walk: Walk) -> list[Any]:
        found: list[Any] = []
        looked_at = 0
        seen = _Seen(values)
        stack = _containers(values)
        while stack:
            value = stack.pop()
            if seen.again(value):
                continue
            looked_at += len(value)
            if type(value) is dict:
                if name in value:
                    found.append(value[name])
                stack += _containers(value.values())
            else:
                stack += _containers(value)
        walk.work.add(looked_at)
        return found

    return step


class _Seen:
    """The lists and mappings that a `..` has visited. Not needed for a single start value: nothing repeats below it."""

    __slots__ = ("_ids",)

    def __init__(self, values: Sequence[Any]) -> None:
        self._ids: set[int] | None = set() if len(values) > 1 else None

    def again(self, value: Any) -> bool:
        """Mark the value as visited. Returns whether it was visited before. The payload keeps values alive, so ids stay
        unique."""
        if self._ids is None:
            return False
        size = len(self._ids)
        self._ids.add(id(value))
        return len(self._ids) == size


def _containers(values: Iterable[Any]) -> list[Any]:
    """The lists and mappings among the values that are not empty, last one first."""
    return [v for v in values if v and (type(v) is dict or type(v) is list)][::-1]
