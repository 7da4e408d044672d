"""JSONPath: parsed by jsonpath-ng, run as closures over plain lists.

`.find` wraps each value it passes in a context object; a closure made once from the same syntax tree gives the same
values in the same order some 20 times as fast. What has no closure here (`parent`, and sorting by a field) falls back
to `.find`. Grammar: jsonpath-ng's extended parser, less what it answers wrongly or unsafely.

Whatever the payload, following a path ends soon: `..` and the fallback have a bound on what they look at.
"""

import operator
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable
from jsonpath_ng.ext import string as ng_string
from jsonpath_ng.ext.parser import ExtendedJsonPathLexer, ExtendedJsonPathParser

from router.effort import PATHS, spend
from router.errors import EvaluationError, RouterError
from router.rules.values import is_number, same

Accessor = Callable[[Any], list[Any]]
"""Takes a payload, gives the selected values in document order. Raises EvaluationError."""

MAX_LENGTH = 4096  #: characters; real paths are shorter than 200
MAX_VALUES = 1_000_000  #: that one `..` may select
MAX_VISITED = 16_000_000  #: values that all `..` of a path may look at; a 25 MiB payload has fewer, each looked at once
MAX_FOLLOWED = 100  #: segments of a path that only `.find` can run, which recurses for each
MAX_NESTED = 60  #: parentheses and filters in one another; each costs stack when the path is followed
MAX_FOUND = 10_000  #: values of a payload in which `.find` may look; it takes some 10 µs for each


class _Walk:
    """Following one path in one payload."""

    __slots__ = ("left", "payload")

    def __init__(self, payload: Any) -> None:
        self.payload = payload
        self.left = MAX_VISITED  #: values that may yet be looked at

    def look_at(self, count: int) -> None:
        """Raises EvaluationError when it becomes too much."""
        self.left -= count
        if self.left < 0:
            raise EvaluationError("the path would look at too much of this payload")


_Step = Callable[[list[Any], _Walk], list[Any]]
_Read = Callable[[Any, _Walk], list[Any]]
_Test = Callable[[Any, _Walk], bool]
_SAFE: tuple[type, ...] = (  # exact types: SortedThis is a This, and does something else
    ng.Root,
    ng.This,
    ng.Child,
    ng.Parent,
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
    single: bool = False  #: it selects one value at the most


class PathError(RouterError):
    """A path that is none, or none that we would run; the text holds the cure."""


@lru_cache(maxsize=50_000)
def compile_path(text: str) -> Path:
    """Compile a path that starts with `$`. Cached by text, since parsing takes some 300 µs. Raises PathError."""
    tree = _parse(text)
    _refuse_text(text)
    if _is_nested(tree, MAX_NESTED):
        raise PathError("filters and parentheses are nested too deeply")
    nodes = list(_walk(tree))
    for node in nodes:
        _refuse(node, text)
    if sum(type(node) is ng.Root for node in _walk(tree, filters=False)) > 1:
        raise PathError("$ stands for the whole payload and may only begin a path")
    steps = _steps(tree)
    if steps is None:
        if len(nodes) > 2 * MAX_FOLLOWED:
            raise PathError(f"the path has more than {MAX_FOLLOWED} segments beside a function; shorten it")
        if sum(type(node) is ng.Descendants for node in nodes) > 1:
            raise PathError("a path with `parent`, or sorted by a field, may have one .. only")
        return Path(_find(tree), fallible=True)
    names = _names(tree, ng.Root)
    if names is not None:
        return Path(_follow_names(names), names, single=True)
    roots = sum(type(node) is ng.Root for node in nodes)
    fallible = roots > 1 or any(_may_raise(node) for node in nodes)
    return Path(_follow(steps), fallible=fallible, single=all(_is_single(node) for node in nodes))


def _is_single(node: Any) -> bool:
    if isinstance(node, ng.Fields | ng.Index):
        return len(node.fields if isinstance(node, ng.Fields) else node.indices) == 1
    return type(node) in (ng.Root, ng.This, ng.Child)


def _may_raise(node: Any) -> bool:
    return type(node) in (ng.Descendants, ng_iterable.SortedThis) or _is_from_both_ends(node)


_PLAIN = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+")  #: which needs no parser: the library makes one for each path
_RESERVED = frozenset(ExtendedJsonPathLexer.reserved_words)


def _parse(text: str) -> ng.JSONPath:
    if len(text) > MAX_LENGTH:
        raise PathError(f"the path is longer than {MAX_LENGTH} characters")
    names = text.split(".")[1:] if _PLAIN.fullmatch(text) else []
    if names and not _RESERVED.intersection(names):
        tree: ng.JSONPath = ng.Root()
        for name in names:
            tree = ng.Child(tree, ng.Fields(name))
        return tree
    if not spend("paths"):
        raise PathError(f"the file has more than {PATHS:,} different paths that are more than names; split it")
    try:
        with warnings.catch_warnings():
            # Deprecated syntax (`|`, bare words in filters) will mean something else one day: refuse it now.
            warnings.simplefilter("error", DeprecationWarning)
            return ExtendedJsonPathParser().parse(text)
    except DeprecationWarning as error:
        raise PathError(f"not a JSONPath we take: {str(error).rstrip('.')}") from None
    except (JSONPathError, RecursionError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise PathError(f"not a JSONPath: {_hint(text, error)}") from None


_LIBRARY = re.compile(
    r"Unexpected character: (.)|near token (\S+)"
)  #: its messages count lines and columns of their own
_NAMES = "a name with other characters than letters, digits, _ and - goes into ['…']"
_HINTS = (
    (re.compile(r"\[\s*\("), "for the last item write [-1], for a filter [?(…)]"),
    (re.compile(r"\[\s*\?"), "a filter is [?(@.name == 'x')], with == != < <= > >=, && || ! and (…)"),
    (re.compile(r"\.(length|size|count)\("), "for the number of items ask the list itself: {length: 3}"),
    (re.compile(r"\w\("), "there are no functions with brackets; `len` and `keys` stand in backticks"),
    (re.compile(r"\.\.\."), "two dots are for any depth"),
    (re.compile(r"\[[^\]]*:[^\]]*,|\[[^\]]*,[^\]]*:"), "write one slice, or several indices"),
    (re.compile(r"\[\s*-?\d[^\]]*,\s*['\"]|\[\s*['\"][^\]]*,\s*-?\d"), "write several names, or several indices"),
    (re.compile(r"`"), "the functions are `len`, `keys`, `sorted`, `parent` and `split(…)`"),
)


def _hint(text: str, error: Exception) -> str:
    for word in ("where", "wherenot"):
        if f".{word}" in text:
            return f"`{word}` is a reserved word; write ['{word}'] for a field of that name"
    if text.startswith("$") and len(text) > 1 and (text[1].isalnum() or text[1] == "_"):
        return f"a dot is missing after the $: $.{text[1:]}"
    if text.endswith("."):
        return "it ends with a dot"
    found = _LIBRARY.search(str(error))
    shown = f'unexpected "{found[1] or found[2]}"' if found else str(error).rstrip(" !.") or type(error).__name__
    return f"{shown}; {next((hint for pattern, hint in _HINTS if pattern.search(text)), _NAMES)}"


def _children(node: Any) -> list[Any]:
    """The paths inside a node of jsonpath-ng's tree."""
    found: list[Any] = []
    for name in ("left", "right", "target", "expressions", "operands", "value"):
        inner = getattr(node, name, None)
        found += [x for x in (inner if isinstance(inner, list) else [inner]) if isinstance(x, ng.JSONPath)]
    if isinstance(node, ng_iterable.SortedThis):
        found += [path for path, _ in node.expressions or []]
    return found


def _walk(tree: Any, *, filters: bool = True) -> Iterator[Any]:
    """Every node of the tree, those inside filters only when asked for."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if filters or type(node) is not ng_filter.Filter:
            stack += _children(node)


def _is_nested(tree: Any, limit: int) -> bool:
    """Whether parts of the tree that are no mere chain of segments are nested deeper than that."""
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > limit:
            return True
        left = getattr(node, "left", None)
        stack += [(inner, depth if inner is left else depth + 1) for inner in _children(node)]
    return False


def _refuse(node: Any, text: str) -> None:
    if isinstance(node, ng_filter.Expression) and node.op == "=~":
        raise PathError("=~ in a filter runs a backtracking regular expression; use elem: with a regex: operator")
    if isinstance(node, ng_string.Sub):
        raise PathError("`sub(…)` runs a backtracking regular expression; use the regex: operator")
    if isinstance(node, ng.Where):
        raise PathError("`where` binds to the last name only; use elem: {$.name: {exists: true}}")
    if isinstance(node, ng.Fields) and len(set(node.fields)) < len(node.fields):
        raise PathError(f"a name stands twice in {text}")
    if isinstance(node, ng.Index) and len(set(node.indices)) < len(node.indices):
        raise PathError(f"an index stands twice in {text}")
    if type(node) not in _SAFE:
        raise PathError(
            f"{type(node).__name__} in {text} is not supported: a path selects values, it doesn't compute them"
        )


_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`""")

_NUMBER = re.compile(r"(?<![\w.\]@'-])-?\d+\.\d+")  #: with a fraction, in a filter

_LEFT_LITERAL = re.compile(r"(?:[?(!]|&&|\|\|)\s*(?:''|-?\d|(?:true|false|null)(?![\w@-]))")  #: read as a name


def _leftmost(tree: Any) -> Any:
    """The node that a path begins with."""
    while isinstance(tree, ng.Child | ng.Descendants):
        tree = tree.left
    return tree


def _is_from_both_ends(node: Any) -> bool:
    """Whether it can select the same item twice: [0,-1] in a list of one."""
    return isinstance(node, ng.Index) and min(node.indices) < 0 <= max(node.indices)


def _refuse_text(text: str) -> None:
    """Refuse what the parser takes, but reads otherwise than it is written."""
    for quoted in _QUOTED.finditer(text):
        dropped = re.search(r"\\([^'\"\\])", quoted.group())
        if dropped and quoted.group()[0] != "`":
            raise PathError(
                f"\\{dropped[1]} in a quoted name means {dropped[1]} alone here; write the character itself"
                " (only a quote and a backslash take a backslash)"
            )
    bare = _NUMBER.sub("0", _QUOTED.sub("''", text))
    number = re.search(r"\.(-?\d+)(?![\w.])|\.(-?\d+)(?=\.)", bare)
    if "?" in bare and _LEFT_LITERAL.search(bare):
        raise PathError("in a filter a literal stands on the right of a path: [?(@.name == 'x')]")
    if number:
        index = number[1] or number[2]
        raise PathError(
            f".{index} is a key called {index}: write [{index}] for a list's item, ['{index}'] for that key"
        )


def _find(tree: ng.JSONPath) -> Accessor:
    def find(payload: Any) -> list[Any]:
        if _is_larger(payload, MAX_FOUND):
            raise EvaluationError(f"the path can't be followed in a payload of more than {MAX_FOUND} values")
        try:
            return [match.value for match in tree.find(payload)]
        # The library raises many kinds here: `parent` at the root, sorting what is no list, or by mixed types.
        except Exception as error:  # noqa: BLE001 - the border of a library
            raise _cant_follow(error) from None

    return find


def _cant_follow(error: Exception) -> EvaluationError:
    return EvaluationError(f"the path can't be followed in this payload ({type(error).__name__})")


def _is_larger(payload: Any, limit: int) -> bool:
    """Whether there are more values in the payload than that."""
    stack, count = [payload], 1
    while stack:
        value = stack.pop()
        if type(value) is list or type(value) is dict:
            count += len(value)
            if count > limit:
                return True
            stack += value.values() if isinstance(value, dict) else value
    return False


def _follow(steps: list[_Step]) -> Accessor:
    def follow(payload: Any) -> list[Any]:
        walk = _Walk(payload)
        values = [payload]
        for step in steps:
            values = step(values, walk)
            if not values:
                break
        return values

    return follow


def _names(tree: Any, start: type) -> tuple[str, ...] | None:
    """The names of a path that is `$` (or in a filter `@`) and single names only, by far the most common shape."""
    names: list[str] = []
    while isinstance(tree, ng.Child) and isinstance(tree.right, ng.Fields) and len(tree.right.fields) == 1:
        names.append(tree.right.fields[0])
        tree = tree.left
    return tuple(reversed(names)) if type(tree) is start else None


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
    while isinstance(tree, ng.Child | ng.Descendants):
        parts.append(tree if isinstance(tree, ng.Descendants) else tree.right)
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
    return lambda values, walk: [walk.payload] * len(values)


def _this(_: Any) -> _Step:
    return lambda values, _: values


def _fields(node: Any) -> _Step:
    names = tuple(node.fields)
    if len(names) == 1:
        name = names[0]
        return lambda values, _: [value[name] for value in values if type(value) is dict and name in value]
    return lambda values, _: [v[name] for v in values if type(v) is dict for name in names if name in v]


def _wildcard(_: Any) -> _Step:
    def step(values: list[Any], _: _Walk) -> list[Any]:
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

    def step(values: list[Any], _: _Walk) -> list[Any]:
        return [v[i] for v in values if type(v) is list for i in indices if -len(v) <= i < len(v)]

    def bounded(values: list[Any], walk: _Walk) -> list[Any]:
        found = step(values, walk)
        if len(found) > MAX_VALUES:
            raise _too_many()
        return found

    return bounded if _is_from_both_ends(node) else step


def _too_many() -> EvaluationError:
    return EvaluationError(f"the path selects more than {MAX_VALUES} values in this payload")


def _slice(node: Any) -> _Step:
    if node.step == 0:
        return lambda *_: []
    part = slice(node.start, node.end, node.step)
    return lambda values, _: [item for value in values if type(value) is list for item in value[part]]


def _descendants(node: Any) -> _Step | None:
    """`..`: what its right side selects in each value, and in all below."""
    right = _steps(node.right)
    if right is None:
        return None
    if isinstance(node.right, ng.Fields) and len(node.right.fields) == 1:
        return _descendants_named(node.right.fields[0])
    # A path into a value gives nothing for text and numbers, which are most of a payload.
    into = type(_leftmost(node.right)) in (ng.Fields, ng.Wildcard, ng.Index, ng.Slice, ng_filter.Filter)

    def step(values: list[Any], walk: _Walk) -> list[Any]:
        found: list[Any] = []
        stack = values[::-1]
        while stack:
            value = stack.pop()
            here = [value]
            for after in right:
                here = after(here, walk)
            found += here
            if len(found) > MAX_VALUES:
                raise _too_many()  # `$..*..*` on a deep payload selects the same values over and over
            if type(value) is dict or type(value) is list:
                walk.look_at(len(value))
                below: Iterable[Any] = value.values() if type(value) is dict else value
                stack += _full(below) if into else list(below)[::-1]
        return found

    return step


def _descendants_named(name: str) -> _Step:
    """`..name`, by far the most common."""

    def step(values: list[Any], walk: _Walk) -> list[Any]:
        found: list[Any] = []
        stack = values[::-1]
        while stack:
            value = stack.pop()
            if type(value) is dict:
                walk.look_at(len(value))
                if name in value:
                    found.append(value[name])
                stack += _full(value.values())
            elif type(value) is list:
                walk.look_at(len(value))
                stack += _full(value)
            if len(found) > MAX_VALUES:
                raise _too_many()
        return found

    return step


def _full(values: Iterable[Any]) -> list[Any]:
    """The lists and mappings that have something in them, the last one first."""
    return [v for v in values if v and (type(v) is dict or type(v) is list)][::-1]


def _len(_: Any) -> _Step:
    return lambda values, _: [len(value) for value in values if isinstance(value, str | list | dict)]


def _keys(_: Any) -> _Step:
    return lambda values, _: [key for value in values if type(value) is dict for key in value]


def _sorted(node: Any) -> _Step | None:
    if node.expressions:
        return None

    def step(values: list[Any], walk: _Walk) -> list[Any]:
        try:
            walk.look_at(20 * sum(map(len, map(_sortable, values))))  # sorting a million takes 20 million comparisons
            return [sorted(value) for value in values]
        except TypeError as error:
            raise _cant_follow(error) from None

    return step


def _sortable(value: Any) -> Any:
    if type(value) is list or type(value) is dict:
        return value
    raise TypeError("only lists, and the keys of mappings, are sorted")


def _split(node: Any) -> _Step:
    separator, most = node.chars, node.max_split
    index = None if node.segment == "*" else int(node.segment)

    def step(values: list[Any], _: _Walk) -> list[Any]:
        parts = [value.split(separator, most) for value in values if isinstance(value, str)]
        if index is None:
            return parts
        return [part[index] for part in parts if -len(part) <= index < len(part)]

    return step


def _filter(node: Any) -> _Step | None:
    """`[?…]` on the items of a list or the values of a mapping."""
    tests = [_filter_test(expression) for expression in node.expressions]
    if not all(tests):
        return None
    every = _each([test for test in tests if test])

    def step(values: list[Any], walk: _Walk) -> list[Any]:
        found: list[Any] = []
        for value in values:
            items = value if type(value) is list else value.values() if type(value) is dict else ()
            found += [item for item in items if every(item, walk)]
        return found

    return step


def _each(tests: list[_Test]) -> _Test:
    return tests[0] if len(tests) == 1 else lambda item, walk: all(test(item, walk) for test in tests)


def _filter_test(node: Any) -> _Test | None:
    """One expression of a filter, on one item."""
    if isinstance(node, ng_filter.And | ng_filter.Or):
        parts = [_filter_test(operand) for operand in node.operands]
        if not all(parts):
            return None
        tests = [part for part in parts if part]
        if isinstance(node, ng_filter.And):
            return _each(tests)
        return lambda item, walk: any(test(item, walk) for test in tests)
    if type(node) is not ng_filter.Expression:
        return None
    read = _operand(node.target)
    if read is None:
        return None
    if isinstance(node.value, ng.JSONPath):
        other = _operand(node.value)
        return _compared_with(read, node.op, other) if other is not None else None
    return _compared(read, node.op, node.value)


def _operand(node: Any) -> _Read | None:
    """What a path inside a filter selects, from an item (`@`) or from the whole payload (`$`) on."""
    names = _names(node, ng.This)
    if names is not None:
        follow = _follow_names(names)
        return lambda item, _: follow(item)
    steps = _steps(node)
    if steps is None:
        return None
    from_root = type(_leftmost(node)) is ng.Root

    def read(item: Any, walk: _Walk) -> list[Any]:
        values = [item]
        for step in steps:
            values = step(values, walk)
            if from_root:  # the same for every item, and over and over
                walk.look_at(len(values))
        return values

    return read


def _compared(read: _Read, op: str | None, wanted: Any) -> _Test:
    if op is None:
        return lambda item, walk: bool(read(item, walk))
    if op == "!":
        return lambda item, walk: not read(item, walk)

    def test(item: Any, walk: _Walk) -> bool:
        values = read(item, walk)
        if not values:
            return op == "!="  # nothing is unlike every literal
        for value in values:  # noqa: SIM110 - a generator would cost more than the loop
            if _compare(op, value, wanted):
                return True
        return False

    return test


def _compared_with(read: _Read, op: str, other: _Read) -> _Test:
    """Compares what two paths select: one that selects nothing is like another that does, and like no value."""

    def test(item: Any, walk: _Walk) -> bool:
        left, right = read(item, walk), other(item, walk)
        if not left or not right:
            return op not in ("<", ">") and (not left and not right) is (op != "!=")
        return any(_compare(op, a, b) for a in left for b in right)

    return test


def _compare(op: str, left: Any, right: Any) -> bool:
    """Typed, as RFC 9535 has it: only two numbers or two texts are ordered."""
    compare = _ORDERED.get(op)
    if compare is None:
        return same(left, right) is (op != "!=")
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return bool(compare(left, right))
    return "=" in op and same(left, right)


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
    ng_iterable.Len: _len,
    ng_iterable.Keys: _keys,
    ng_iterable.SortedThis: _sorted,
    ng_string.Split: _split,
}
