"""Compiles the `match` mappings of a rules file into conditions; problems go to the report."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from router.domain.headers import dropped_header
from router.domain.nearest_word import shortened
from router.rules.compile.contradictions import warn_of_conjunction, warn_of_map
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.element import element_test
from router.rules.match.field_tests import AnyTest, Clause, EachTest, Every, Exists, NotTest, OneValue, Test
from router.rules.match.fields import HeaderField, field, unknown_field
from router.rules.match.hints import unknown_operator
from router.rules.match.jsonpath import PathError
from router.rules.match.operators import FOLDING, NUMERIC, OPERATORS
from router.rules.match.operators.networks import address_in
from router.rules.match.operators.operand import Flags, OperandError
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode, data
from router.rules.yaml.problems import ProblemReport

COMBINATORS = ("all", "any", "none", "not")
_FIELD_WORDS = ("exists", "every", "not", "elem", "ignore_case")
_WORDS = (*OPERATORS, *_FIELD_WORDS)


def parse_match(node_path: NodePath, *, element: bool = False, known: Sequence[Condition] = ()) -> Condition:
    """Compile a mapping, whose entries must all hold.

    `element`: the mapping of an `elem`, where `$` is the element and the other fields are errors. `known` are
    conditions that hold for every event of the rule's sources.
    """
    if not isinstance(node_path.node, MappingNode):
        node_path.error(f"expected a mapping of fields to what they must be, found {node_path.found()}")
        return All(())
    entries = [(key, c) for key, below in node_path.entries() for c in _entry(node_path, key, below, element=element)]
    warn_of_conjunction(node_path, entries, known)
    return All(tuple(condition for _, condition in entries))


def _entry(node_path: NodePath, key: str, below: NodePath, *, element: bool) -> list[Condition]:
    if key in COMBINATORS:
        return [_combinator(key, below, element=element)]
    if element and not key.startswith("$"):
        node_path.key_error(
            key, f'"{shortened(key)}" is no part of an element; inside elem, $ is the element: "$.{key}"'
        )
        return []
    if key in ("headers", "query"):
        if not below.expect_mapping("names to what they must be"):
            return []
        return [c for name, value in below.entries() for c in _field(below, name, f"{key}.{name}", value)]
    return _field(node_path, key, key, below)


def _field(node_path: NodePath, key: str, text: str, below: NodePath) -> list[Condition]:
    try:
        compiled = field(text)
    except PathError as error:
        message = unknown_word(text) if text in _WORDS else str(error)
        node_path.key_error(key, message)
        return []
    if isinstance(compiled, HeaderField) and "_" in compiled.name:
        node_path.key_error_unless_recorded(key, dropped_header(text.partition(".")[2]))
    elements: dict[int, Condition] = {}
    strict = parse_test(below, Flags(text_only=compiled.text_only, decimals=compiled.decimals, elements=elements))
    if text == "ip" and isinstance(strict, OneValue):
        _check_addresses(node_path, key, strict)
    if compiled.text.startswith("$") and strict is not None and _has_numeric(below.node):
        form = parse_test(NodePath(ProblemReport(""), below.node, ""), Flags(decimals=True, elements=elements))
        return [FieldCondition(compiled, strict, form or strict)]
    return [FieldCondition(compiled, strict, strict)] if strict else []


def _check_addresses(node_path: NodePath, key: str, test: OneValue) -> None:
    for clause in test.clauses:
        wanted = clause.operand if clause.operator == "in" else [clause.operand] if clause.operator == "equals" else []
        odd = next((text for text in wanted if address_in(str(text)) is None), None)
        if odd is not None:
            node_path.key_warn(
                key, f'this can\'t hold: "{shortened(str(odd))}" is no address; a network goes below cidr:'
            )


def field_is_one_of(name: str, texts: list[str]) -> Condition:
    """The condition that a field is one of the texts."""
    test = OneValue((Clause("in", texts, lambda value: value in texts),))
    return FieldCondition(field(name), test, test)


def unknown_word(word: str) -> str:
    """The message for an operator in the place of a field."""
    return f'"{word}" is an operator and belongs below a field: {{"$.field": {{{word}: …}}}}; {unknown_field(word)}'


def _combinator(name: str, node_path: NodePath, *, element: bool) -> Condition:
    if name == "not":
        if not node_path.expect_mapping("fields to what they must not be (for a list, use none:)"):
            return All(())
        return Not(parse_match(node_path, element=element), "not")
    if not node_path.expect_list(f"conditions, each a mapping: {name}: [{{…}}, {{…}}]"):
        return All(())
    conditions = tuple(_branch(item, element=element) for item in node_path.items())
    if name == "all":
        return All(conditions)
    return AnyOf(conditions) if name == "any" else Not(AnyOf(conditions), "none")


def _branch(node_path: NodePath, *, element: bool) -> Condition:
    if isinstance(node_path.node, MappingNode) and not node_path.node.entries:
        node_path.error("an empty condition holds for every event; remove it, or write what it must be")
        return All(())
    return parse_match(node_path, element=element)


def parse_test(node_path: NodePath, flags: Flags) -> Test | None:
    """Compile the test of a field: a scalar, a list of alternatives, or an operator map; None after an error."""
    if isinstance(node_path.node, MappingNode):
        return _operator_map(node_path, flags)
    if isinstance(node_path.node, SequenceNode):
        return _alternatives(node_path, flags)
    if node_path.is_blank:
        node_path.error(f"expected a value, found {node_path.found()}; write null for null, or {{exists: true}}")
        return None
    return _predicate("equals", node_path, flags)


def _alternatives(node_path: NodePath, flags: Flags) -> Test | None:
    if not node_path.expect_list("values, any of which it may be"):
        return None
    if all(isinstance(item.node, ScalarNode) and not item.is_blank for item in node_path.items()):
        return _predicate("in", node_path, flags)
    tests = []
    for item in node_path.items():
        if isinstance(item.node, SequenceNode):
            item.error("a list in a list; to match a whole array, write {equals: [ … ]}")
        else:
            tests.append(parse_test(item, flags))
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
        node_path.report.add(error.node, node_path.path, str(error))
        return None


def _operator_map(node_path: NodePath, flags: Flags) -> Test | None:
    if not node_path.expect_mapping("operators"):
        return None
    flags = replace(flags, fold=_fold(node_path, flags))
    clauses: list[Clause] = []
    tests: list[Test] = []
    for name, operand in node_path.entries():
        if name in OPERATORS:
            clause = _build(name, operand, flags)
            clauses += [clause] if clause else []
        elif name == "elem":
            clauses += _elem(operand, flags)
        elif name == "ignore_case":
            continue
        elif name in _FIELD_WORDS:
            test = _FIELD_TESTS[name](operand, flags)
            tests += [test] if test else []
        else:
            node_path.key_error(name, _unknown_operator(name))
    if clauses:
        tests.insert(0, OneValue(tuple(clauses)))
    warn_of_map(node_path, tests, flags)
    if not tests and not node_path.report.failed:
        node_path.error("ignore_case alone asks nothing; add an operator such as equals")
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
            "ignore_case", f"ignore_case changes nothing here; it goes beside {', '.join(sorted(FOLDING))}"
        )
    return operand.node.value


def _folds(node: Node) -> bool:
    """Whether the operator map, its not or its every has an operator that ignore_case changes."""
    if not isinstance(node, MappingNode):
        return True  # a scalar or a list below not or every means equality
    words = set(node.entries)
    if words & FOLDING or not words <= set(_WORDS):  # an unknown word has an error of its own
        return True
    return any(_folds(node.entries[word][1]) for word in ("not", "every") if word in node.entries)


def _has_numeric(node: Node) -> bool:
    if isinstance(node, SequenceNode):
        return any(_has_numeric(item) for item in node.items)
    if not isinstance(node, MappingNode):
        return False
    return bool(NUMERIC & set(node.entries)) or any(_has_numeric(value) for _, value in node.entries.values())


def _exists(node_path: NodePath, flags: Flags) -> Test | None:  # noqa: ARG001 - the common signature
    if isinstance(node_path.node, ScalarNode) and isinstance(node_path.node.value, bool):
        return Exists(node_path.node.value)
    node_path.error(f"expected true or false, found {node_path.found()}")
    return None


def _every(node_path: NodePath, flags: Flags) -> Test | None:
    test = parse_test(node_path, flags)
    return Every(test) if test else None


def _not(node_path: NodePath, flags: Flags) -> Test | None:
    test = parse_test(node_path, flags)
    return NotTest(test) if test else None


_FIELD_TESTS: dict[str, Callable[[NodePath, Flags], Test | None]] = {"exists": _exists, "every": _every, "not": _not}


def _elem(node_path: NodePath, flags: Flags) -> list[Clause]:
    if not node_path.expect_mapping("$ fields of the element to what they must be"):
        return []
    # The condition is the same for JSON and forms. Compiling it twice would double the work at each level of `elem`.
    condition = flags.elements.get(id(node_path.node))
    if condition is None:
        condition = flags.elements[id(node_path.node)] = parse_match(node_path, element=True)
    return [
        Clause(
            "elem", data(node_path.node), element_test(condition, form=flags.decimals), may_raise=condition.may_raise
        )
    ]


def _unknown_operator(name: str) -> str:
    if name.startswith("$"):
        return (
            f'"{shortened(name)}" is a field among operators; below a field come operators. '
            "For fields of the same list element, use elem:"
        )
    return unknown_operator(name, _WORDS)
