"""JSONPath: parsed by jsonpath-ng, run as closures over plain lists.

`.find` wraps each value it passes in a context object; a closure made once from the same syntax tree gives the same
values in the same order some 20 times as fast. What has no closure here falls back to `.find`. Grammar: jsonpath-ng's
extended parser, less what it answers wrongly or unsafely.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable
from jsonpath_ng.ext import string as ng_string
from jsonpath_ng.ext.parser import ExtendedJsonPathParser

from router.errors import EvaluationError, RouterError

Accessor = Callable[[Any], list[Any]]
"""Takes a payload, gives the selected values in document order. Raises EvaluationError."""

MAX_LENGTH = 4096  #: characters; real paths are shorter than 200
MAX_VALUES = 1_000_000  #: that one `..` may select; a 25 MiB payload has fewer, each taken once
MAX_FOLLOWED = 100  #: segments of a path that only `.find` can run, which recurses for each

_Step = Callable[[list[Any], Any], list[Any]]
_SAFE: tuple[type, ...] = (  # exact types: SortedThis is a This, and does something else
    ng.Root,
    ng.This,
    ng.Child,
    ng.Parent,
    ng.Where,
    ng.WhereNot,
    ng.Descendants,
    ng.Fields,
    ng.Wildcard,
    ng.Index,
    ng.Slice,
    ng_filter.Filter,
    ng_filter.Expression,
    ng_filter.And,
    ng_filter.Or,
    ng_iterable.Len,
    ng_iterable.Keys,
    ng_iterable.SortedThis,
    ng_string.Split,
)


class PathError(RouterError):
    """A path that is none, or none that we would run; the text holds the cure."""


@lru_cache(maxsize=50_000)
def compile_path(text: str) -> Accessor:
    """Compile a path that starts with `$`. Cached by text, since parsing takes some 300 µs. Raises PathError."""
    tree = _parse(text)
    nodes = list(_walk(tree))
    for node in nodes:
        _refuse(node, text)
    steps = _steps(tree)
    if steps is None:
        if len(nodes) > 2 * MAX_FOLLOWED:
            raise PathError(f"the path has more than {MAX_FOLLOWED} segments beside a filter or function; shorten it")
        return _find(tree)
    if sum(type(node) is ng.Root for node in nodes) > 1:
        raise PathError("$ stands for the whole payload and may only begin a path")
    names = _names(tree)
    return _follow_names(names) if names is not None else _follow(steps)


def _parse(text: str) -> ng.JSONPath:
    if len(text) > MAX_LENGTH:
        raise PathError(f"the path is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings():
            # Deprecated syntax (`|`, bare words in filters) will mean something else one day: refuse it now.
            warnings.simplefilter("error", DeprecationWarning)
            return ExtendedJsonPathParser().parse(text)
    except DeprecationWarning as error:
        raise PathError(f"not a JSONPath we take: {str(error).rstrip('.')}") from None
    except (JSONPathError, RecursionError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise PathError(f"not a JSONPath: {_hint(text, error)}") from None


def _hint(text: str, error: Exception) -> str:
    for word in ("where", "wherenot"):
        if f".{word}" in text:
            return f"`{word}` is a reserved word; write ['{word}'] for a field of that name"
    if text.startswith("$") and len(text) > 1 and (text[1].isalnum() or text[1] == "_"):
        return f"a dot is missing after the $: $.{text[1:]}"
    if text.endswith("."):
        return "it ends with a dot"
    shown = str(error).rstrip(" !.") or type(error).__name__
    return f"{shown}; a name with other characters than letters, digits, _ and - goes into ['…']"


def _children(node: Any) -> list[Any]:
    """The paths inside a node of jsonpath-ng's tree."""
    found: list[Any] = []
    for name in ("left", "right", "target", "expressions", "operands", "value"):
        inner = getattr(node, name, None)
        found += [x for x in (inner if isinstance(inner, list) else [inner]) if isinstance(x, ng.JSONPath)]
    if isinstance(node, ng_iterable.SortedThis):
        found += [path for path, _ in node.expressions or []]
    return found


def _walk(tree: Any) -> Iterator[Any]:
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        stack += _children(node)


def _refuse(node: Any, text: str) -> None:
    if isinstance(node, ng_filter.Expression) and node.op == "=~":
        raise PathError("=~ in a filter runs a backtracking regular expression; use elem: with a regex: operator")
    if isinstance(node, ng_string.Sub):
        raise PathError("`sub(…)` runs a backtracking regular expression; use the regex: operator")
    if type(node) not in _SAFE:
        raise PathError(
            f"{type(node).__name__} in {text} is not supported: a path selects values, it doesn't compute them"
        )


def _find(tree: ng.JSONPath) -> Accessor:
    def find(payload: Any) -> list[Any]:
        try:
            return [match.value for match in tree.find(payload)]
        # The library raises many kinds here: `parent` at the root, `sorted` on a scalar, a filter on mixed types.
        except Exception as error:  # noqa: BLE001 - the border of a library
            raise EvaluationError(f"the path can't be followed in this payload ({type(error).__name__})") from None

    return find


def _follow(steps: list[_Step]) -> Accessor:
    def follow(payload: Any) -> list[Any]:
        values = [payload]
        for step in steps:
            values = step(values, payload)
            if not values:
                break
        return values

    return follow


def _names(tree: Any) -> tuple[str, ...] | None:
    """The names of a path that is `$` and single names only, by far the most common shape."""
    names: list[str] = []
    while isinstance(tree, ng.Child) and isinstance(tree.right, ng.Fields) and len(tree.right.fields) == 1:
        names.append(tree.right.fields[0])
        tree = tree.left
    return tuple(reversed(names)) if isinstance(tree, ng.Root) else None


def _follow_names(names: tuple[str, ...]) -> Accessor:
    def follow(payload: Any) -> list[Any]:
        value = payload
        for name in names:
            if type(value) is not dict or name not in value:
                return []
            value = value[name]
        return [value]

    return follow


def _steps(tree: Any) -> list[_Step] | None:
    """The tree as steps from a list of values to the next; none when a part of it has no closure."""
    parts: list[Any] = []
    while isinstance(tree, ng.Child):
        parts.append(tree.right)
        tree = tree.left
    parts.append(tree)
    steps: list[_Step] = []
    for part in reversed(parts):
        if isinstance(part, ng.Child):
            inner = _steps(part)
            if inner is None:
                return None
            steps += inner
            continue
        step = _step(part)
        if step is None:
            return None
        steps.append(step)
    return steps


def _step(node: Any) -> _Step | None:
    make = _STEPS.get(type(node))
    return make(node) if make else None


def _root(_: Any) -> _Step:
    return lambda values, payload: [payload] * len(values)


def _this(_: Any) -> _Step:
    return lambda values, _: values


def _fields(node: Any) -> _Step:
    names = tuple(node.fields)
    if len(names) == 1:
        name = names[0]
        return lambda values, _: [value[name] for value in values if type(value) is dict and name in value]
    return lambda values, _: [v[name] for v in values if type(v) is dict for name in names if name in v]


def _wildcard(_: Any) -> _Step:
    def step(values: list[Any], _: Any) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if type(value) is list:
                found += value
            elif type(value) is dict:
                found += value.values()
        return found

    return step


def _index(node: Any) -> _Step:
    indices = tuple(node.indices)

    def step(values: list[Any], _: Any) -> list[Any]:
        return [v[i] for v in values if type(v) is list for i in indices if -len(v) <= i < len(v)]

    return step


def _slice(node: Any) -> _Step:
    if node.step == 0:
        return lambda *_: []
    part = slice(node.start, node.end, node.step)
    return lambda values, _: [item for value in values if type(value) is list for item in value[part]]


def _descendants(node: Any) -> _Step | None:
    left, right = _steps(node.left), _steps(node.right)
    if left is None or right is None:
        return None

    def step(values: list[Any], payload: Any) -> list[Any]:
        for before in left:
            values = before(values, payload)
        found: list[Any] = []
        stack = values[::-1]
        while stack:
            value = stack.pop()
            here = [value]
            for after in right:
                here = after(here, payload)
            found += here
            if len(found) > MAX_VALUES:
                # `$..*..*` on a deep payload selects the same values over and over.
                raise EvaluationError(f"the path selects more than {MAX_VALUES} values in this payload")
            if type(value) is list:
                stack += value[::-1]
            elif type(value) is dict:
                stack += reversed(value.values())
        return found

    return step


_STEPS: dict[type, Callable[[Any], _Step | None]] = {
    ng.Root: _root,
    ng.This: _this,
    ng.Fields: _fields,
    ng.Wildcard: _wildcard,
    ng.Index: _index,
    ng.Slice: _slice,
    ng.Descendants: _descendants,
}
