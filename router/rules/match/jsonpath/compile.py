"""Compiles a path to a closure, which is some 20 times as fast as the library's `find`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable

from router.rules.match.jsonpath.filters import looks_again
from router.rules.match.jsonpath.limits import current_work
from router.rules.match.jsonpath.parse import parse
from router.rules.match.jsonpath.steps import Walk, follow_names, run, steps
from router.rules.match.jsonpath.tree import is_single, names, nodes
from router.rules.match.jsonpath.vet import vet

Accessor = Callable[[Any], list[Any]]
"""From a payload to the selected values, in document order, each place once. Raises EvaluationError."""


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A compiled path."""

    read: Accessor
    names: tuple[str, ...] | None = None  #: the names of a path such as `$.a.b`, the most common form; None for others
    may_raise: bool = False  #: whether reading may raise
    single: bool = False  #: whether it selects at most one value


@lru_cache(maxsize=50_000)
def compile_path(text: str) -> Path:
    """Compile a path that starts with `$`. Cached by text, since parsing takes some 300 µs. Raises PathError."""
    tree = parse(text)
    vet(tree, text)
    found = names(tree, ng.Root)
    if found is not None:
        return Path(follow_names(found), found, single=True)
    every = list(nodes(tree))
    return Path(_follow(tree, len(every)), may_raise=any(map(_may_raise, every)), single=all(map(is_single, every)))


def _follow(tree: Any, segments: int) -> Accessor:
    made = steps(tree)

    def follow(payload: Any) -> list[Any]:
        work = current_work(payload)
        work.enter(follow, segments)
        return run(made, [payload], Walk(payload, work))

    return follow


def _may_raise(node: Any) -> bool:
    if type(node) is ng_filter.Filter:
        return looks_again(node)
    return type(node) in (ng.Descendants, ng.Parent, ng_iterable.SortedThis)
