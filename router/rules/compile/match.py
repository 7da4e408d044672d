"""Compiles the `match` mappings of a rules file into conditions; problems go to the report."""

from collections.abc import Sequence

from router.domain.nearest_word import shortened
from router.rules.compile.contradictions import warn_of_conjunction
from router.rules.compile.field_key import load_field
from router.rules.compile.operators import WORDS, parse_test, reads_decimals
from router.rules.compile.scope import EVERY_EVENT, Scope
from router.rules.compile.time_tests import check_time_test
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.field_tests import Clause, OneValue
from router.rules.match.fields import ITEM, TIMES, field, unknown_field
from router.rules.match.operators.networks import address_in
from router.rules.match.operators.operand import Flags
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode
from router.rules.yaml.problems import ProblemReport

COMBINATORS = ("all", "any", "none", "not")


def parse_match(node_path: NodePath, scope: Scope = EVERY_EVENT, *, known: Sequence[Condition] = ()) -> Condition:
    """Compile a mapping whose entries must all hold. `known` conditions hold for every event of the sources."""
    if not isinstance(node_path.node, MappingNode):
        node_path.error(f"expected a mapping of fields to their tests, found {node_path.found()}")
        return All(())
    entries = [(key, c) for key, below in node_path.entries() for c in _entry(node_path, key, below, scope)]
    warn_of_conjunction(node_path, entries, known)
    return All(tuple(condition for _, condition in entries))


def _entry(node_path: NodePath, key: str, below: NodePath, scope: Scope) -> list[Condition]:
    if key in COMBINATORS:
        return [_combinator(key, below, scope)]
    if scope.in_element and not key.startswith("$"):
        node_path.key_error(
            key, f'"{shortened(key)}" is not a part of an element; inside elem, $ is the element: "$.{key}"'
        )
        return []
    if key in ("headers", "query", "params"):
        if not below.expect_mapping("names to what they must be"):
            return []
        return [c for name, value in below.entries() for c in _field(below, name, f"{key}.{name}", value, scope)]
    return _field(node_path, key, key, below, scope)


def _field(node_path: NodePath, key: str, text: str, below: NodePath, scope: Scope) -> list[Condition]:
    if text in WORDS:
        node_path.key_error(key, unknown_word(text))
        return []
    compiled = load_field(node_path, text, scope, key=key)
    if compiled is None:
        return []
    elements: dict[int, Condition] = {}
    strict = parse_test(
        below, Flags(text_only=compiled.text_only, decimals=compiled.decimals, elements=elements), scope
    )
    if text in TIMES:
        check_time_test(below, text)
    if text == "ip" and isinstance(strict, OneValue):
        _check_addresses(node_path, key, strict)
    if compiled.text.startswith(("$", ITEM)) and strict is not None and reads_decimals(below.node):
        form = parse_test(NodePath(ProblemReport(""), below.node, ""), Flags(decimals=True, elements=elements), scope)
        return [FieldCondition(compiled, strict, form or strict)]
    return [FieldCondition(compiled, strict, strict)] if strict else []


def _check_addresses(node_path: NodePath, key: str, test: OneValue) -> None:
    for clause in test.clauses:
        wanted = clause.operand if clause.operator == "in" else [clause.operand] if clause.operator == "equals" else []
        odd = next((text for text in wanted if address_in(str(text)) is None), None)
        if odd is not None:
            node_path.key_warn(
                key, f'this can\'t hold: "{shortened(str(odd))}" is not an address; a network goes below cidr:'
            )


def field_is_one_of(name: str, texts: list[str]) -> Condition:
    """The condition that a field is one of the texts."""
    test = OneValue((Clause("in", texts, lambda value: value in texts),))
    return FieldCondition(field(name), test, test)


def unknown_word(word: str) -> str:
    """The message for an operator in the place of a field."""
    return f'"{word}" is an operator and belongs below a field: {{"$.field": {{{word}: …}}}}; {unknown_field(word)}'


def _combinator(name: str, node_path: NodePath, scope: Scope) -> Condition:
    if name == "not":
        if not node_path.expect_mapping("fields to what they must not be (for a list, use none:)"):
            return All(())
        return Not(parse_match(node_path, scope), "not")
    if not node_path.expect_list(f"conditions, each a mapping: {name}: [{{…}}, {{…}}]"):
        return All(())
    conditions = tuple(_branch(item, scope) for item in node_path.items())
    if name == "all":
        return All(conditions)
    return AnyOf(conditions) if name == "any" else Not(AnyOf(conditions), "none")


def _branch(node_path: NodePath, scope: Scope) -> Condition:
    if isinstance(node_path.node, MappingNode) and not node_path.node.entries:
        node_path.error("an empty condition holds for every event; remove it, or write a test")
        return All(())
    return parse_match(node_path, scope)
