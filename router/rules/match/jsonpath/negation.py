"""`!(…)` in a filter holds any expression; the library's grammar has only a path there.

Each such part is parsed as a filter of its own. In the rest of the text a name that nobody writes stands for it, and in
the tree that name becomes the part again.
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
_PATH_GOES_ON = re.compile(r"\s*[.\[]")  #: `!(@.a).b`, which the library takes
_MARK = "\x00not "  #: begins the names that stand for a part; a path has no such character


def parse_negations(text: str, parse: Callable[[str], Any]) -> Any:
    """The tree of a path with `!(…)`; none when it has none. Raises PathError, and what `parse` raises."""
    parts = list(_negations(text))
    if not parts or _MARK in text:
        return None
    negated: dict[str, Any] = {}
    rest, end = "", 0
    for start, inner, after in parts:
        name = f"{_MARK}{len(negated)}"
        negated[name] = _negated(inner, parse)
        rest += f"{text[end:start]}@['{name}']"
        end = after
    tree = parse(rest + text[end:])
    _replace(tree, negated)
    return tree


def _negations(text: str) -> Iterator[tuple[int, str, int]]:
    """The outermost `!(…)`: where it starts, what is inside, where it ends."""
    start = opened = 0
    open_: list[bool] = []  #: the parentheses, and whether each is a negation's
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
    """Put the parts into the places of their names."""
    for node in list(nodes(tree)):
        listed = getattr(node, "expressions" if isinstance(node, ng_filter.Filter) else "operands", None)
        if isinstance(listed, list):
            listed[:] = [negated.get(_name(one), one) for one in listed]
    if any(isinstance(node, ng.Fields) and node.fields[0].startswith(_MARK) for node in nodes(tree)):
        raise JsonPathParserError("Parse error beside !(…): it is a condition of its own, beside && and ||")


def _name(expression: Any) -> str:
    """The name that stands alone as an expression."""
    target = expression.target if isinstance(expression, ng_filter.Expression) and expression.op is None else None
    if isinstance(target, ng.Child) and type(target.left) is ng.This and isinstance(target.right, ng.Fields):
        return str(target.right.fields[0])
    return ""
