"""JSONPath: parsed by jsonpath-ng, run as closures over plain lists.

`.find` wraps each value it passes in a context object; a closure made once from the same syntax tree gives the same
values in the same order some 20 times as fast. What has no closure here falls back to `.find`. Grammar: jsonpath-ng's
extended parser, less what it answers wrongly or unsafely.
"""

import operator
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable
from jsonpath_ng.ext import string as ng_string
from jsonpath_ng.ext.parser import ExtendedJsonPathParser

from router.errors import EvaluationError, RouterError
from router.rules.values import is_number, same

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


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A compiled path."""

    read: Accessor
    names: tuple[str, ...] | None = None  #: of a path that is `$` and single names only, by far the most common shape
    fallible: bool = False  #: whether reading may raise


class PathError(RouterError):
    """A path that is none, or none that we would run; the text holds the cure."""


@lru_cache(maxsize=50_000)
def compile_path(text: str) -> Path:
    """Compile a path that starts with `$`. Cached by text, since parsing takes some 300 µs. Raises PathError."""
    tree = _parse(text)
    _refuse_text(text)
    nodes = list(_walk(tree))
    for node in nodes:
        _refuse(node, text)
    steps = _steps(tree)
    if steps is None:
        if len(nodes) > 2 * MAX_FOLLOWED:
            raise PathError(f"the path has more than {MAX_FOLLOWED} segments beside a filter or function; shorten it")
        return Path(_find(tree), fallible=True)
    if sum(type(node) is ng.Root for node in nodes) > 1:
        raise PathError("$ stands for the whole payload and may only begin a path")
    names = _names(tree)
    if names is not None:
        return Path(_follow_names(names), names)
    return Path(_follow(steps), fallible=any(type(node) is ng.Descendants for node in nodes))


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


_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`""")


def _refuse_text(text: str) -> None:
    """Refuse what the parser takes, but reads otherwise than it is written."""
    for quoted in _QUOTED.finditer(text):
        dropped = re.search(r"\\([^'\"\\])", quoted.group())
        if dropped and quoted.group()[0] != "`":
            raise PathError(
                f"\\{dropped[1]} in a quoted name means {dropped[1]} alone here; write the character itself"
                " (only a quote and a backslash take a backslash)"
            )
    number = re.search(r"\.(-?\d+)(?![\w.])|\.(-?\d+)(?=\.)", _QUOTED.sub("''", text))
    if number and "?" not in text:
        index = number[1] or number[2]
        raise PathError(
            f".{index} is a key called {index}: write [{index}] for a list's item, ['{index}'] for that key"
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


def _filter(node: Any) -> _Step | None:
    """`[?…]` on the items of a list or the values of a mapping; only comparisons with literals have a closure."""
    tests = [_filter_test(expression) for expression in node.expressions]
    if not all(tests):
        return None

    def step(values: list[Any], _: Any) -> list[Any]:
        found: list[Any] = []
        for value in values:
            items = value if type(value) is list else value.values() if type(value) is dict else ()
            found += [item for item in items if all(test(item) for test in tests if test)]
        return found

    return step


def _filter_test(node: Any) -> Callable[[Any], bool] | None:
    """One expression of a filter, on one item."""
    if isinstance(node, ng_filter.And | ng_filter.Or):
        parts = [_filter_test(operand) for operand in node.operands]
        if not all(parts):
            return None
        combine = all if isinstance(node, ng_filter.And) else any
        return lambda item: combine(part(item) for part in parts if part)
    if type(node) is not ng_filter.Expression or isinstance(node.value, ng.JSONPath):
        return None
    inner = list(_walk(node.target))
    if any(type(part) in (ng.Root, ng.Descendants) for part in inner):
        return None
    steps = _steps(node.target)
    return _compared(_follow(steps), node.op, node.value) if steps is not None else None


def _compared(read: Accessor, op: str | None, wanted: Any) -> Callable[[Any], bool]:
    if op is None:
        return lambda item: bool(read(item))
    if op == "!":
        return lambda item: not read(item)
    compare = _ORDERED.get(op)

    def test(item: Any) -> bool:
        values = read(item)
        if not values:
            return op == "!="  # nothing is unlike every literal
        if compare is None:
            return any(same(value, wanted) is (op != "!=") for value in values)
        return any(
            compare(value, wanted) if _comparable(value, wanted) else "=" in op and same(value, wanted)
            for value in values
        )

    return test


def _comparable(left: Any, right: Any) -> bool:
    return (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str))


_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

_STEPS: dict[type, Callable[[Any], _Step | None]] = {
    ng.Root: _root,
    ng.This: _this,
    ng.Fields: _fields,
    ng.Wildcard: _wildcard,
    ng.Index: _index,
    ng.Slice: _slice,
    ng.Descendants: _descendants,
    ng_filter.Filter: _filter,
}
