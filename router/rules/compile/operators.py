"""Compiles what a field must be: a value, a list of alternatives, or a map of operators."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from router.domain.errors import Level
from router.domain.nearest_word import shortened
from router.rules.compile.contradictions import warn_of_map
from router.rules.compile.field_key import load_field
from router.rules.compile.scope import Scope
from router.rules.match.element import element_test, reads_time
from router.rules.match.field_tests import AnyTest, Clause, EachTest, Every, Exists, NotTest, OneValue, Test
from router.rules.match.fields import FieldValues
from router.rules.match.hints import unknown_operator
from router.rules.match.operators import FOLDING, OPERATORS, ORDERED
from router.rules.match.operators.age import age
from router.rules.match.operators.operand import Flags, OperandError, Predicate
from router.rules.match.operators.ordered import mixed_bound
from router.rules.match.same_field import same_as
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode, data

_FIELD_WORDS = ("exists", "every", "not", "elem", "age", "equals_field", "ignore_case")
WORDS = (*OPERATORS, *_FIELD_WORDS)


def parse_test(node_path: NodePath, flags: Flags, scope: Scope) -> Test | None:
    """Compile the test of a field: a scalar, a list of alternatives, or an operator map. None after an error."""
    if isinstance(node_path.node, MappingNode):
        return _operator_map(node_path, flags, scope)
    if isinstance(node_path.node, SequenceNode):
        return _alternatives(node_path, flags, scope)
    if node_path.is_blank:
        node_path.error(f"expected a value, found {node_path.found()}; write null for null, or {{exists: true}}")
        return None
    return _predicate("equals", node_path, flags)


def _alternatives(node_path: NodePath, flags: Flags, scope: Scope) -> Test | None:
    if not node_path.expect_list("values, any of which it may be"):
        return None
    if all(isinstance(item.node, ScalarNode) and not item.is_blank for item in node_path.items()):
        return _predicate("in", node_path, flags)
    tests = []
    for item in node_path.items():
        if isinstance(item.node, SequenceNode):
            item.error("a list in a list; to match a whole array, write {equals: [ … ]}")
        else:
            tests.append(parse_test(item, flags, scope))
    return AnyTest(tuple(test for test in tests if test))


def _predicate(name: str, node_path: NodePath, flags: Flags) -> Test | None:
    clause = _build(name, node_path, flags)
    return OneValue((clause,)) if clause else None


def _build(name: str, node_path: NodePath, flags: Flags) -> Clause | None:
    blank = node_path if node_path.is_blank else next((item for item in node_path.items() if item.is_blank), None)
    if blank is not None:
        blank.error(f"expected a value, found {blank.found()}; write null for null")
        return None
    try:
        return Clause(
            name, data(node_path.node), OPERATORS[name](node_path.node, flags), flags.fold and name in FOLDING
        )
    except OperandError as error:
        _report(node_path, error)
        # Recorded rules judge no events; they only make deliveries that are planned already.
        is_kept = error.is_new and node_path.report.recorded
        return Clause("exists", operand=True, test=lambda _: False) if is_kept else None


def _report(node_path: NodePath, error: OperandError) -> None:
    level = Level.WARNING if error.is_new and node_path.report.recorded else Level.ERROR
    node_path.report.add(error.node, node_path.path, str(error), level)


def _check_bounds(node_path: NodePath) -> None:
    """Report a map whose comparisons mix numbers and texts."""
    bounds = {name: operand.node for name, operand in node_path.entries() if name in ORDERED}
    mixed = mixed_bound(bounds) if len(bounds) > 1 else None
    if mixed is not None:
        node_path.report.add(
            mixed,
            node_path.path,
            "one bound is a number, the other a text, and no value is both; write two numbers or two texts",
        )


def _operator_map(node_path: NodePath, flags: Flags, scope: Scope) -> Test | None:
    if not node_path.expect_mapping("operators"):
        return None
    flags = replace(flags, fold=_fold(node_path, flags))
    clauses: list[Clause] = []
    tests: list[Test] = []
    for name, operand in node_path.entries():
        if name in OPERATORS:
            clause = _build(name, operand, flags)
            clauses += [clause] if clause else []
        elif name in _EVENT_OPERATORS:
            clauses += _EVENT_OPERATORS[name](operand, flags, scope)
        elif name == "ignore_case":
            continue
        elif name in _FIELD_TESTS:
            test = _FIELD_TESTS[name](operand, flags, scope)
            tests += [test] if test else []
        else:
            node_path.key_error(name, _unknown_operator(name))
    _check_bounds(node_path)
    if clauses:
        tests.insert(0, OneValue(tuple(clauses)))
    warn_of_map(node_path, tests, flags)
    if not tests and not node_path.report.failed:
        node_path.error("ignore_case alone tests nothing; add an operator such as equals")
    return tests[0] if len(tests) == 1 else EachTest(tuple(tests))


def _fold(node_path: NodePath, flags: Flags) -> bool:
    operand = node_path.at("ignore_case")
    if not node_path.has("ignore_case"):
        return flags.fold
    if not isinstance(operand.node, ScalarNode) or not isinstance(operand.node.value, bool):
        operand.error(f"expected true or false, found {operand.found()}")
        return flags.fold
    if operand.node.value and not _folds(node_path.node):
        node_path.key_error(
            "ignore_case", f"ignore_case changes nothing here; it belongs beside {', '.join(sorted(FOLDING))}"
        )
    return operand.node.value


def _folds(node: Node) -> bool:
    """Whether the operator map, its not or its every has an operator that ignore_case changes."""
    if not isinstance(node, MappingNode):
        return True  # a scalar or a list below not or every means equality
    words = set(node.entries)
    if words & FOLDING or not words <= set(WORDS):  # an unknown word has an error of its own
        return True
    return any(_folds(node.entries[word][1]) for word in ("not", "every") if word in node.entries)


def reads_decimals(node: Node) -> bool:
    """Whether a test at or below the node reads decimals in the texts of a form."""
    if isinstance(node, SequenceNode):
        return any(reads_decimals(item) for item in node.items)
    if not isinstance(node, MappingNode):
        return False
    return bool((ORDERED | {"age"}) & set(node.entries)) or any(
        reads_decimals(value) for _, value in node.entries.values()
    )


def _exists(node_path: NodePath, flags: Flags, scope: Scope) -> Test | None:  # noqa: ARG001 - the common signature
    if isinstance(node_path.node, ScalarNode) and isinstance(node_path.node.value, bool):
        return Exists(node_path.node.value)
    node_path.error(f"expected true or false, found {node_path.found()}")
    return None


def _every(node_path: NodePath, flags: Flags, scope: Scope) -> Test | None:
    test = parse_test(node_path, flags, scope)
    return Every(test) if test else None


def _not(node_path: NodePath, flags: Flags, scope: Scope) -> Test | None:
    test = parse_test(node_path, flags, scope)
    return NotTest(test) if test else None


_FIELD_TESTS: dict[str, Callable[[NodePath, Flags, Scope], Test | None]] = {
    "exists": _exists,
    "every": _every,
    "not": _not,
}


def _elem(node_path: NodePath, flags: Flags, scope: Scope) -> list[Clause]:
    if not node_path.expect_mapping("$ fields of the element to their tests"):
        return []
    from router.rules.compile.match import parse_match  # noqa: PLC0415 - an operator with a condition below it

    # The condition is the same for JSON and forms. Compiling it twice would double the work at each level of `elem`.
    condition = flags.elements.get(id(node_path.node))
    if condition is None:
        condition = flags.elements[id(node_path.node)] = parse_match(node_path, scope.element)
    form = flags.decimals
    bind: Binding | None = None
    if reads_time(condition):
        bind = lambda reads: element_test(condition, form=form, event=reads.parsed.event)  # noqa: E731
    test = element_test(condition, form=form)
    return [Clause("elem", data(node_path.node), test, may_raise=condition.may_raise, bind=bind)]


def _age(node_path: NodePath, flags: Flags, scope: Scope) -> list[Clause]:  # noqa: ARG001 - the common signature
    try:
        judge = age(node_path.node, flags)
    except OperandError as error:
        _report(node_path, error)
        return []

    def bind(reads: FieldValues) -> Predicate:
        received_at = reads.parsed.event.received_at
        return lambda value: judge(value, received_at)

    return [Clause("age", data(node_path.node), _unbound, bind=bind)]


def _equals_field(node_path: NodePath, flags: Flags, scope: Scope) -> list[Clause]:  # noqa: ARG001
    text = node_path.expect_text("a field such as $.b, whose values it may equal")
    other = load_field(node_path, text, scope) if text is not None else None
    if other is None:
        return []
    bind: Binding = lambda reads: same_as(other, reads)  # noqa: E731
    return [Clause("equals_field", text, _unbound, may_raise=other.may_raise, bind=bind, other=other)]


Binding = Callable[[FieldValues], Predicate]


def _unbound(_: Any) -> bool:
    raise AssertionError("this operator needs an event to test against")


_EVENT_OPERATORS: dict[str, Callable[[NodePath, Flags, Scope], list[Clause]]] = {
    "elem": _elem,
    "age": _age,
    "equals_field": _equals_field,
}


def _unknown_operator(name: str) -> str:
    if name.startswith("$"):
        return (
            f'"{shortened(name)}" is a field among operators; below a field come operators. '
            "For fields of the same list element, use elem:"
        )
    return unknown_operator(name, WORDS)
