"""Parses `!(…)` around any expression of a filter; the library's grammar allows only a path there.

Each such part is parsed as a filter of its own. In the text a placeholder name replaces the part, and in the syntax
tree the parsed part replaces the placeholder.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from jsonpath_ng import jsonpath as ng
from jsonpath_ng.exceptions import JsonPathParserError
from jsonpath_ng.ext import filter as ng_filter

from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.names import QUOTED
from router.rules.match.jsonpath.tree import MAX_NESTED, nodes

_PIECE = re.compile(rf"{QUOTED.pattern}|!\s*\(|[()]")
_PATH_GOES_ON = re.compile(r"\s*[.\[]")  #: `!(@.a).b`, which the library accepts
_PLACEHOLDER = "\x00not "  #: begins placeholder names; no path contains a zero byte


def parse_negations(text: str, parse: Callable[[str], Any]) -> Any:
    """The tree of a path with `!(…)`; None for paths without. Raises PathError, and what `parse` raises."""
    parts = list(_negations(text))
    if not parts or _PLACEHOLDER in text:
        return None
    negated: dict[str, Any] = {}
    rest, end = "", 0
    for start, inner, after in parts:
        name = f"{_PLACEHOLDER}{len(negated)}"
        negated[name] = _negated(inner, parse)
        rest += f"{text[end:start]}@['{name}']"
        end = after
    tree = parse(rest + text[end:])
    _replace(tree, negated)
    return tree


def _negations(text: str) -> Iterator[tuple[int, str, int]]:
    """Each outermost `!(…)`: its start, its content, its end."""
    start = opened = 0
    open_: list[bool] = []  #: for each open parenthesis, whether a negation opened it
    for piece in _PIECE.finditer(text):
        found = piece.group()
        if found == ")" and open_:
            is_outermost = open_.pop() and not any(open_)
            if is_outermost and not _PATH_GOES_ON.match(text, piece.end()):
                yield start, text[opened : piece.start()], piece.end()
        elif found[-1] == "(":
            if found[0] == "!" and not any(open_):
                start, opened = piece.start(), piece.end()
            open_.append(found[0] == "!")
            if sum(open_) > MAX_NESTED:
                raise PathError("filters and parentheses are nested too deeply")


def _negated(inner: str, parse: Callable[[str], Any]) -> Any:
    tree = parse(f"$[?({inner})]")
    if not (type(tree) is ng.Child and type(tree.left) is ng.Root and type(tree.right) is ng_filter.Filter):
        raise JsonPathParserError("Parse error inside !(…)")
    return ng_filter.Expression(ng_filter.And(tree.right.expressions), "!", None)


def _replace(tree: Any, negated: dict[str, Any]) -> None:
    """Replace the placeholders in the tree by the parsed parts."""
    for node in list(nodes(tree)):
        listed = getattr(node, "expressions" if isinstance(node, ng_filter.Filter) else "operands", None)
        if isinstance(listed, list):
            listed[:] = [negated.get(_name(one), one) for one in listed]
    if any(isinstance(node, ng.Fields) and node.fields[0].startswith(_PLACEHOLDER) for node in nodes(tree)):
        raise JsonPathParserError("Parse error beside !(…): it is a condition of its own, beside && and ||")


def _name(expression: Any) -> str:
    """The name, if the expression is just a name; empty otherwise."""
    target = expression.target if isinstance(expression, ng_filter.Expression) and expression.op is None else None
    if isinstance(target, ng.Child) and type(target.left) is ng.This and isinstance(target.right, ng.Fields):
        return str(target.right.fields[0])
    return ""
