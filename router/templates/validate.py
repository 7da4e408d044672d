"""Checks a template when the rules load: unknown names, wrong arguments, and expressions that always fail."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from itertools import zip_longest
from typing import Any

from jinja2 import nodes

from router.domain.errors import RenderError, TemplateError
from router.templates.cures import suggestion, unknown_name
from router.templates.environment import RenderContext
from router.templates.filters.coding import check_algorithm, check_encoding
from router.templates.filters.numbers import check_currency
from router.templates.filters.patterns import check_groups, check_separator, compiled, replacement_parts
from router.templates.filters.times import READ, WRITTEN, check_time_format, check_unit, zone_of
from router.templates.printf import check_format
from router.templates.rewriting import path_of, reads
from router.templates.values import NAMES

_CONSTANTS: Mapping[str, Mapping[str, Callable[[Any], object]]] = {
    "regex_replace": {"pattern": compiled},
    "split": {"separator": check_separator},
    "money": {"currency": check_currency},
    "to_unix": {"unit": check_unit},
    "hmac": {"key": lambda _: None, "algorithm": check_algorithm, "encoding": check_encoding},
    "to_time": {"format": functools.partial(check_time_format, allowed=READ), "zone": zone_of},
    "in_zone": {"zone": zone_of},
    "format_time": {"format": functools.partial(check_time_format, allowed=WRITTEN), "zone": zone_of},
}
"""By filter and parameter, in order: the function that checks a constant value."""
MAX_DEPTH = 50  #: nested operators, filters and blocks
MAX_LOOPS = 10  #: nested loops
_LEFT_OUT = {
    "attr": "write value.key or value['key']",
    "forceescape": "use escape",
    "pprint": "use tojson",
    "random": "a retry would send something else",
    "safe": "texts are not escaped here unless | escape says so",
    "striptags": "its work can't be bounded",
    "urlize": "its work can't be bounded",
    "xmlattr": "write the attributes out, with | escape",
}
_KNOWN = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Slice, nodes.Filter, nodes.Test, nodes.Call, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not),
    *(nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow),
    *(nodes.Concat, nodes.CondExpr, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.For),
    *(nodes.If, nodes.Assign, nodes.AssignBlock, nodes.FilterBlock, nodes.With, nodes.Scope),
    *(nodes.ScopedEvalContextModifier, nodes.EvalContextModifier),
)
_NUMBERS_ONLY = {nodes.Sub: "-", nodes.Div: "/", nodes.FloorDiv: "//", nodes.Pow: "**"}
_NO_NUMBER = nodes.List | nodes.Dict | nodes.TemplateData | nodes.Concat
_Functions = Mapping[str, Callable[..., Any]]


def check_depth(tree: nodes.Template) -> None:
    """Refuse deep nesting: checks and renderings recurse, and Python allows 20 nested loops."""
    stack: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while stack:
        node, depth, loops = stack.pop()
        if depth > MAX_DEPTH or loops > MAX_LOOPS:
            raise TemplateError("the template is nested too deeply")
        loops += isinstance(node, nodes.For)
        stack += [(inner, depth + 1, loops) for inner in node.iter_child_nodes()]


def check_nodes(tree: nodes.Template, filters: _Functions, tests: _Functions) -> None:
    """Refuse unavailable syntax, and operations that would fail for every event. Raises TemplateError."""
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _KNOWN):
            raise TemplateError(f"{{% {type(node).__name__.lower()} %}} is not available in rules")
        if isinstance(node, nodes.Filter):
            _check_filter(node, filters, tests)
        elif isinstance(node, nodes.Test):
            _check_known("test", node.name, tests)
            _check_arguments("is ", node.name, tests[node.name], node)
        elif isinstance(node, nodes.Call):
            if not (isinstance(node.node, nodes.Name) and node.node.name == "range"):
                raise TemplateError(
                    "a template can't call functions or methods; use a filter: {{ payload.ref | upper }}"
                )
        elif isinstance(node, nodes.Name):
            _check_name(node)
        elif isinstance(node, nodes.BinExpr):
            _check_operator(node)


def _check_name(node: nodes.Name) -> None:
    if node.ctx != "load" and node.name in NAMES:
        raise TemplateError(f'"{node.name}" means the event\'s own; give the variable another name')
    if node.name == "self":
        raise TemplateError(unknown_name("self", ""))


def _check_filter(node: nodes.Filter, filters: _Functions, tests: _Functions) -> None:
    _check_known("filter", node.name, filters)
    _check_arguments("| ", node.name, filters[node.name], node)
    given = node.args
    _check_constants(node)
    if node.name == "format" and isinstance(node.node, nodes.Const | nodes.TemplateData):
        _check_format_filter(node)
    if node.name in ("selectattr", "rejectattr"):
        if not given and not _is_open(node):
            raise TemplateError(f'{node.name} takes the name of a field: {node.name}("active")')
        given = given[1:]
    if node.name == "map" and not given and not _is_open(node):
        if not any(keyword.key == "attribute" for keyword in node.kwargs):
            raise TemplateError('map takes the name of a filter or a field: map("upper"), map(attribute="name")')
    elif node.name in ("map", "select", "reject", "selectattr", "rejectattr") and given:
        kind, known = ("filter", filters) if node.name == "map" else ("test", tests)
        _check_named(kind, known, given)


def _check_constants(node: nodes.Filter) -> None:
    """Check what a filter needs to know when the rules load: a pattern, a format of times, a zone, a secret."""
    named = {str(keyword.key): keyword.value for keyword in node.kwargs}
    if node.name == "hmac":
        key = node.args[0] if node.args else named.get("key")
        path = path_of(key) if isinstance(key, nodes.Expr) else ()
        if len(path) != 2 or path[0] != "secrets":
            raise TemplateError("hmac takes a declared secret: hmac(secrets.name)")
    checks = _CONSTANTS.get(node.name, {})
    for (name, check), given in zip_longest(checks.items(), node.args[: len(checks)]):
        value = given if given is not None else named.get(name)
        if isinstance(value, nodes.Const) and value.value is not None:
            try:
                check(value.value)
            except RenderError as error:
                text = str(error)
                raise TemplateError(text if text.startswith(node.name) else f"{node.name}: {text}") from None
        elif node.name == "regex_replace" and name == "pattern" and value is not None:
            raise TemplateError("regex_replace takes a pattern that is written out; a sender's text is never a pattern")
    if node.name == "regex_replace":
        _check_groups(node, named)


def _check_groups(node: nodes.Filter, named: Mapping[str, nodes.Expr]) -> None:
    """Check that a constant replacement names only groups that the pattern has."""
    pattern, replacement = (
        node.args[at] if len(node.args) > at else named.get(name) for at, name in enumerate(("pattern", "replacement"))
    )
    if isinstance(pattern, nodes.Const) and isinstance(replacement, nodes.Const):
        try:
            check_groups(compiled(str(pattern.value)), replacement_parts(str(replacement.value)))
        except RenderError as error:
            raise TemplateError(f"regex_replace: {error}") from None


def _check_named(kind: str, known: _Functions, given: list[nodes.Expr]) -> None:
    """Check a filter or test that is passed by name, such as map("truncate", 20)."""
    name = given[0].value if isinstance(given[0], nodes.Const) else None
    if name is not None:
        _check_known(kind, str(name), known)
        _bind(f'"{name}"', known[str(name)], [None, *given[1:]], {}, open_ended=False, least=False)


def _check_known(kind: str, name: str, known: _Functions) -> None:
    if name in known:
        return
    if kind == "filter" and name in _LEFT_OUT:
        raise TemplateError(f'unknown filter "{name}": it is not available in rules; {_LEFT_OUT[name]}')
    raise TemplateError(f'unknown {kind} "{name}"{suggestion(name, known)}')


def _is_open(node: nodes.Filter | nodes.Test) -> bool:
    """Whether arguments come from a list or mapping, as in f(*more)."""
    return node.dyn_args is not None or node.dyn_kwargs is not None


def _check_arguments(before: str, name: str, function: Callable[..., Any], node: nodes.Filter | nodes.Test) -> None:
    keywords = dict.fromkeys(str(keyword.key) for keyword in node.kwargs)
    _bind(before + name, function, [None, *node.args], keywords, open_ended=_is_open(node), least=True)


def _bind(
    shown: str,
    function: Callable[..., Any],
    given: list[Any],
    keywords: dict[str, None],
    *,
    open_ended: bool,
    least: bool,
) -> None:
    """Raise TemplateError when the function can't take these arguments."""
    if function is callable:
        return
    signature = _signature(function)
    try:
        (signature.bind_partial if open_ended or not least else signature.bind)(*given, **keywords)
    except TypeError:
        takes = ", ".join(
            str(p.replace(annotation=inspect.Parameter.empty)) for p in list(signature.parameters.values())[1:]
        )
        raise TemplateError(f"{shown} can't be given these arguments; it takes ({takes})") from None


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The parameters that a template gives to the function."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    gets_context = bool(parameters) and parameters[0].annotation is RenderContext  # Jinja itself passes it
    return signature.replace(parameters=parameters[1:] if gets_context else parameters)


def _check_operator(node: nodes.BinExpr) -> None:
    sign = _NUMBERS_ONLY.get(type(node))
    if isinstance(node, nodes.Mod) and _text(node.left) is not None:
        text = _text(node.left)
        right = node.right
        if isinstance(right, nodes.Tuple):
            check_format(str(text), len(right.items))
        elif isinstance(right, nodes.Const | nodes.List | nodes.BinExpr | nodes.Filter):
            check_format(str(text), None if _may_be_many(right) else 1)
        else:
            check_format(str(text), None if isinstance(right, nodes.Name | nodes.CondExpr | nodes.Dict) else 1)
        return
    if isinstance(node, nodes.Mod):
        sign = "%"
    if sign is None:
        return
    for side in (node.left, node.right):
        if isinstance(side, _NO_NUMBER) or _text(side) is not None:
            raise TemplateError(
                f"{sign} takes numbers, but one side is not a number; | int or | float makes one of a text"
            )
    if isinstance(node, nodes.Sub) and path_of(node.left)[:1] == ("headers",):
        raise TemplateError("headers.X-Name is a subtraction; write headers['X-Name']")


def _may_be_many(node: nodes.Expr) -> bool:
    """Whether the expression may give a tuple, whose items are then the values of a format."""
    return isinstance(node, nodes.Filter) and node.name in ("first", "last", "min", "max", "default", "d")


def _text(node: nodes.Node) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _check_format_filter(node: nodes.Filter) -> None:
    text = _text(node.node) if node.node is not None else None
    if text is None:
        raise TemplateError("format takes a text such as '%.2f' before it")
    known = not _is_open(node) and not node.kwargs
    check_format(text, len(node.args) if known else None)


def check_secrets(tree: nodes.Template, declared: Collection[str]) -> frozenset[str]:
    """The secrets that a template reads. Raises TemplateError for one that isn't declared."""
    used: set[str] = set()
    chains = {id(inner) for node in reads(tree) for inner in node.find_all(nodes.Name)}
    for node in reads(tree):
        path = path_of(node)
        if path[0] == "secrets":
            name = str(path[1])
            if name not in declared:
                cure = suggestion(name, declared) if declared else "; declare it under secrets:"
                raise TemplateError(f'undefined secret "{name}"{cure}')
            used.add(name)
    for name_node in tree.find_all(nodes.Name):
        if name_node.name == "secrets" and id(name_node) not in chains:
            raise TemplateError("name the secret: secrets.name")
    return frozenset(used)


def constants(tree: nodes.Node) -> list[nodes.Expr]:
    """The largest expressions that don't read the event, so that they have the same result each time."""
    found: list[nodes.Expr] = []
    stack: list[nodes.Node] = [tree]
    while stack:
        node = stack.pop()
        worked = isinstance(node, nodes.Filter | nodes.Test | nodes.BinExpr | nodes.Compare | nodes.Call | nodes.Concat)
        worked = worked or (isinstance(node, nodes.UnaryExpr) and not _is_number(node.node))
        if worked and not (isinstance(node, nodes.Filter) and node.node is None) and not _reads_a_name(node):
            assert isinstance(node, nodes.Expr)
            found.append(node)
        else:
            stack += node.iter_child_nodes()
    return found


def _is_number(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, int | float)


def _reads_a_name(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Call):
        return any(_reads_a_name(inner) for inner in (*node.args, *node.kwargs))
    if isinstance(node, nodes.Name | nodes.Filter) and (isinstance(node, nodes.Name) or node.node is None):
        return True
    return any(_reads_a_name(inner) for inner in node.iter_child_nodes())
