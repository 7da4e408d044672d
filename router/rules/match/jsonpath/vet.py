"""Refuses paths that the library parses, but follows wrongly, unsafely, or not as they read."""

import re
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.ext import filter as ng_filter
from jsonpath_ng.ext import iterable as ng_iterable
from jsonpath_ng.ext import string as ng_string

from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.names import QUOTED
from router.rules.match.jsonpath.tree import is_nested, nodes

_SAFE: tuple[type, ...] = (  # exact types: SortedThis is a subclass of This with another behaviour
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

_NUMBER = re.compile(r"(?<![\w.\]@'-])-?\d+\.\d+")  #: a number with a fraction, in a filter
_KEY_NUMBER = re.compile(r"\.(-?\d+)(?![\w.])|\.(-?\d+)(?=\.)")
#: a literal on the left, which the library reads as a name
_LEFT_LITERAL = re.compile(r"(?:[?(!]|&&|\|\|)\s*(?:''|-?\d|(?:true|false|null)(?![\w@-]))")


def vet(tree: Any, text: str) -> None:
    """Raise PathError for a path that is refused."""
    _vet_text(text)
    if is_nested(tree):
        raise PathError("filters and parentheses are nested too deeply")
    for node in nodes(tree):
        _vet_node(node, text)
    if sum(type(node) is ng.Root for node in nodes(tree, filters=False)) > 1:
        raise PathError("$ stands for the whole payload and may only begin a path")


def _vet_node(node: Any, text: str) -> None:
    if isinstance(node, ng_filter.Expression) and node.op == "=~":
        raise PathError("=~ in a filter runs a backtracking regular expression; use elem: with a regex: operator")
    if isinstance(node, ng_string.Sub):
        raise PathError("`sub(…)` runs a backtracking regular expression; use the regex: operator")
    if isinstance(node, ng.Where):
        raise PathError("`where` binds to the last name only; use elem: {$.name: {exists: true}}")
    if isinstance(node, ng.Fields) and len(set(node.fields)) < len(node.fields):
        raise PathError(f"a name is repeated in {text}")
    if isinstance(node, ng.Index) and len(set(node.indices)) < len(node.indices):
        raise PathError(f"an index is repeated in {text}")
    if type(node) not in _SAFE:
        raise PathError(
            f"{type(node).__name__} in {text} is not supported: a path selects values, it doesn't compute them"
        )


def _vet_text(text: str) -> None:
    for quoted in QUOTED.finditer(text):
        dropped = re.search(r"\\([^'\"\\])", quoted.group())
        if dropped and quoted.group()[0] != "`":
            raise PathError(
                f"\\{dropped[1]} in a quoted name means {dropped[1]} alone here; write the character itself"
                " (only a quote and a backslash take a backslash)"
            )
    bare = _NUMBER.sub("0", QUOTED.sub("''", text))
    number = _KEY_NUMBER.search(bare)
    if "?" in bare and _LEFT_LITERAL.search(bare):
        raise PathError("in a filter a literal belongs on the right of a path: [?(@.name == 'x')]")
    if number:
        index = number[1] or number[2]
        raise PathError(
            f".{index} is a key called {index}: write [{index}] for a list's item, ['{index}'] for that key"
        )
