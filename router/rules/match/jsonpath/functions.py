"""The functions of a path, which compute new values: `len`, `keys`, `split(…)` and sorting."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from router.domain.errors import EvaluationError
from router.rules.match.jsonpath.limits import CHARACTERS, size_of

if TYPE_CHECKING:
    from router.rules.match.jsonpath.steps import Select, Walk


def length(_: Any) -> "Select":
    """`len`."""
    return lambda value, _: (len(value),) if isinstance(value, str | list | dict) else ()


def keys(_: Any) -> "Select":
    """`keys`."""
    return lambda value, _: list(value) if type(value) is dict else ()


def split(node: Any) -> "Select":
    """`split(…)`."""
    separator, most = node.chars, node.max_split
    index = None if node.segment == "*" else int(node.segment)

    def select(value: Any, walk: "Walk") -> Sequence[Any]:
        if not isinstance(value, str):
            return ()
        walk.work.add(len(value) // CHARACTERS)
        parts = value.split(separator, most)
        if index is None:
            return (parts,)
        return (parts[index],) if -len(parts) <= index < len(parts) else ()

    return select


def in_order(node: Any) -> "Select":
    """`sorted`, and `[\\name,/name]`: the sorted list, as one value."""
    key = _comparing(node.expressions) if node.expressions else None

    def select(value: Any, walk: "Walk") -> Sequence[Any]:
        try:
            if not (type(value) is list or (type(value) is dict and key is None)):
                raise TypeError("only lists, and the keys of mappings, can be sorted")
            walk.work.add(size_of(value))
            return (sorted(value, key=key(walk) if key else None),)
        except (TypeError, RecursionError) as error:
            raise EvaluationError(f"the path can't be followed in this payload ({type(error).__name__})") from None

    return select


def _comparing(expressions: Sequence[tuple[Any, bool]]) -> "Callable[[Walk], Callable[[Any], Any]]":
    """The sort key for fields, each up or down. Items with no value, or several, count as equal."""
    from router.rules.match.jsonpath.steps import run, steps  # noqa: PLC0415 - they need the functions

    fields = [(steps(path), down) for path, down in expressions]

    def compare(left: list[list[Any]], right: list[list[Any]]) -> int:
        for (_, down), a, b in zip(fields, left, right, strict=True):
            if len(a) == len(b) == 1 and a[0] != b[0]:
                return -1 if (a[0] < b[0]) is not down else 1
        return 0

    ordered = functools.cmp_to_key(compare)
    return lambda walk: lambda item: ordered([run(made, [item], walk) for made, _ in fields])
