"""Rewrites a template's syntax tree so that it charges every step."""

from collections.abc import Iterator
from typing import Any

from jinja2 import nodes

from router.templates.budget import COPIED_PER_STEP
from router.templates.environment import COMPARE, CONCAT, CUT, EACH, KEEP, READ, Environment
from router.templates.values import NAMES, SHADOWED


def path_of(node: nodes.Node) -> tuple[str | int, ...]:
    """The path that a node reads, such as ("payload", "commits", 0, "id"); empty for other nodes."""
    parts: list[str | int] = []
    while True:
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
            node = node.node
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            parts.append(node.arg.value)
            node = node.node
        elif isinstance(node, nodes.Name) and node.name in NAMES:
            return (node.name, *reversed(parts))
        else:
            return ()


def reads(tree: nodes.Node) -> Iterator[nodes.Node]:
    """The outermost nodes of the tree that read a path of at least two parts."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if len(path_of(node)) > 1:
            yield node
        else:
            stack += node.iter_child_nodes()


_OWN = "__own"  #: a suffix for a template's own variables whose names later became words of the language


def parsed(environment: Environment, text: str) -> nodes.Template:
    """The syntax tree of a template. Its own variables hide words of SHADOWED. Raises TemplateError."""
    tree = environment.parse(text)
    names = [node for node in tree.find_all(nodes.Name) if node.name in SHADOWED]
    own = {node.name for node in names if node.ctx != "load"}
    for node in names:
        if node.name in own:
            node.name += _OWN
    return tree


def as_written(name: str) -> str:
    """The name of a variable as it is in the template."""
    return name.removesuffix(_OWN)


def is_single(tree: nodes.Template) -> bool:
    """Whether the whole template is one {{ … }}."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output) or len(tree.body[0].nodes) != 1:
        return False
    return not isinstance(tree.body[0].nodes[0], nodes.TemplateData)


def keep_value(tree: nodes.Template) -> nodes.Template:
    """The tree of a single {{ … }}, changed so that it keeps its value instead of writing it."""
    output = tree.body[0]
    assert isinstance(output, nodes.Output)
    tree.body = [nodes.ExprStmt(_call(output.nodes[0], KEEP))]
    return tree


def charge_work(tree: nodes.Template) -> nodes.Template:
    """The tree, changed so that it calls functions that charge reads, comparisons, loops, slices and `~`."""
    replaced = _replaced(tree)
    assert isinstance(replaced, nodes.Template)
    replaced.set_lineno(1)
    return replaced


def _replaced(value: Any) -> Any:
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if not isinstance(value, nodes.Node):
        return value
    path = path_of(value)
    if path:
        return _call(nodes.Const(path), READ)
    if isinstance(value, nodes.For):
        value.iter = _call(_expression(value.iter), EACH, nodes.Const(_steps(value)))
    for name in value.fields:
        setattr(value, name, _replaced(getattr(value, name)))
    if isinstance(value, nodes.Getitem):
        return _replaced_item(value)
    if isinstance(value, nodes.Concat):
        return _call(nodes.List(value.nodes), CONCAT)
    if isinstance(value, nodes.Compare):
        operands = [value.expr, *(operand.expr for operand in value.ops)]
        names = tuple(operand.op for operand in value.ops)
        return _call(nodes.List(operands), COMPARE, nodes.Const(names))
    return value


def _expression(node: nodes.Node) -> nodes.Expr:
    assert isinstance(node, nodes.Expr)
    return node


def _replaced_item(item: nodes.Getitem) -> nodes.Expr:
    if isinstance(item.arg, nodes.Slice):
        nothing = nodes.Const(None)
        return _call(item.node, CUT, *(part or nothing for part in (item.arg.start, item.arg.stop, item.arg.step)))
    if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
        return nodes.Getattr(item.node, item.arg.value, item.ctx)  # a constant key, which a message may name
    return item


def _steps(loop: nodes.For) -> int:
    """The steps of one item of a loop: two for each node of its body, without the bodies of inner loops."""
    steps, stack = 5, [*loop.body, *([loop.test] if loop.test else [])]
    while stack:
        node = stack.pop()
        steps += 2
        if isinstance(node, nodes.TemplateData):
            steps += len(node.data) // COPIED_PER_STEP
        if isinstance(node, nodes.For):
            stack += [node.iter, *node.else_]
        else:
            stack += node.iter_child_nodes()
    return steps


def _call(value: nodes.Expr, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(arguments), [], None, None)
