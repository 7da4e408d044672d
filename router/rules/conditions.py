"""Conditions: parsed from nodes by hand, judged against events.

A field selects a list of values. A positive operator map holds when any one value satisfies all of it; `not`, `exists`
and `every` judge the field as a whole. `not` is the exact complement of what it holds, also for a missing field.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from router.model import Event, ParsedEvent
from router.rules.document import MappingNode, Node, ScalarNode, SequenceNode
from router.rules.fields import AnyField, field, unknown_field
from router.rules.jsonpath import PathError
from router.rules.operators import FOLDING, NUMERIC, OPERATORS, Flags, OperandError, Predicate
from router.rules.ruleset import Condition
from router.rules.spot import Report, Spot, did_you_mean, shortened

COMBINATORS = ("all", "any", "none", "not")
_FIELD_WORDS = ("exists", "every", "not", "elem", "ignore_case")
_WORDS = (*OPERATORS, *_FIELD_WORDS)
_NO_EVENT = Event("", "", "", "", "", (), b"", "", 0)  # for the conditions of `elem`, which read the element only


class Test(Protocol):
    """What is asked of a field's values."""

    def holds(self, values: list[Any]) -> bool:
        """Whether the values pass. Raises EvaluationError."""
        ...


@dataclass(frozen=True, slots=True)
class OneValue:
    """Any one value satisfies every predicate, taken together."""

    predicates: tuple[tuple[str, Predicate], ...]  #: with the operator's name

    def holds(self, values: list[Any]) -> bool:
        """Some value passes all."""
        return any(all(predicate(value) for _, predicate in self.predicates) for value in values)


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value, be it null; or it has none."""

    wanted: bool

    def holds(self, values: list[Any]) -> bool:
        """There is a value, as wanted."""
        return bool(values) == self.wanted


@dataclass(frozen=True, slots=True)
class Every:
    """There is a value, and the test holds for each taken alone."""

    test: Test

    def holds(self, values: list[Any]) -> bool:
        """At least one value, and all pass."""
        return bool(values) and all(self.test.holds([value]) for value in values)


@dataclass(frozen=True, slots=True)
class NotTest:
    """The exact complement of a test."""

    test: Test

    def holds(self, values: list[Any]) -> bool:
        """The test doesn't hold."""
        return not self.test.holds(values)


@dataclass(frozen=True, slots=True)
class EachTest:
    """Every test holds: the parts of one operator map."""

    tests: tuple[Test, ...]

    def holds(self, values: list[Any]) -> bool:
        """All hold."""
        return all(test.holds(values) for test in self.tests)


@dataclass(frozen=True, slots=True)
class AnyTest:
    """One test holds: the entries of a list."""

    tests: tuple[Test, ...]

    def holds(self, values: list[Any]) -> bool:
        """One holds."""
        return any(test.holds(values) for test in self.tests)


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field and what is asked of it."""

    field: AnyField
    test: Test
    form_test: Test  #: the same for a form's values, which are text: there numeric operators read decimals

    def holds(self, parsed: ParsedEvent) -> bool:
        """The field's values pass the test."""
        test = self.form_test if parsed.form else self.test
        return test.holds(self.field.values(parsed))


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds; without any, always."""

    conditions: tuple[Condition, ...]

    def holds(self, parsed: ParsedEvent) -> bool:
        """All hold."""
        return all(condition.holds(parsed) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]

    def holds(self, parsed: ParsedEvent) -> bool:
        """One holds."""
        return any(condition.holds(parsed) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Not:
    """The condition doesn't hold."""

    condition: Condition

    def holds(self, parsed: ParsedEvent) -> bool:
        """It doesn't."""
        return not self.condition.holds(parsed)


def parse_match(spot: Spot, *, element: bool = False) -> Condition:
    """Parse a mapping whose every entry must hold; problems go to the report.

    In an element (`elem`) only `$` fields and combinators make sense, since `$` is the element there.
    """
    if not isinstance(spot.node, MappingNode):
        spot.error(f"expected a mapping of fields to what they must be, found {spot.found()}")
        return All(())
    return All(tuple(c for key, below in spot.entries() for c in _entry(spot, key, below, element=element)))


def _entry(spot: Spot, key: str, below: Spot, *, element: bool) -> list[Condition]:
    if key in COMBINATORS:
        return [_combinator(key, below, element=element)]
    if element and not key.startswith("$"):
        spot.key_error(key, f'"{shortened(key)}" is no part of an element; inside elem, $ is the element: "$.{key}"')
        return []
    if key in ("headers", "query"):
        if not below.expect_mapping("names to what they must be"):
            return []
        return [c for name, value in below.entries() for c in _field(below, name, f"{key}.{name}", value)]
    return _field(spot, key, key, below)


def _field(spot: Spot, key: str, text: str, below: Spot) -> list[Condition]:
    try:
        compiled = field(text)
    except PathError as error:
        message = unknown_word(text) if text in _WORDS else str(error)
        spot.key_error(key, message)
        return []
    strict = parse_test(below, Flags(text_only=compiled.text_only, decimals=compiled.decimals))
    if compiled.text.startswith("$") and strict is not None and _has_numeric(below.node):
        form = parse_test(Spot(Report(""), below.node, ""), Flags(decimals=True))
        return [FieldCondition(compiled, strict, form or strict)]
    return [FieldCondition(compiled, strict, strict)] if strict else []


def unknown_word(word: str) -> str:
    """The message for an operator that stands where a field belongs."""
    return f'"{word}" is an operator and belongs below a field: {{"$.field": {{{word}: …}}}}; {unknown_field(word)}'


def _combinator(name: str, spot: Spot, *, element: bool) -> Condition:
    if name == "not":
        if not spot.expect_mapping("fields to what they must not be (for a list, use none:)"):
            return All(())
        return Not(parse_match(spot, element=element))
    if not spot.expect_list(f"conditions, each a mapping: {name}: [{{…}}, {{…}}]"):
        return All(())
    conditions = tuple(_branch(item, element=element) for item in spot.items())
    if name == "all":
        return All(conditions)
    return AnyOf(conditions) if name == "any" else Not(AnyOf(conditions))


def _branch(spot: Spot, *, element: bool) -> Condition:
    if isinstance(spot.node, MappingNode) and not spot.node.entries:
        spot.error("an empty condition holds for every event; remove it, or write what it must be")
        return All(())
    return parse_match(spot, element=element)


def parse_test(spot: Spot, flags: Flags) -> Test | None:
    """Parse what is asked of a field: a scalar, a list of alternatives, or an operator map; none after an error."""
    if isinstance(spot.node, MappingNode):
        return _operator_map(spot, flags)
    if isinstance(spot.node, SequenceNode):
        return _alternatives(spot, flags)
    if spot.is_blank:
        spot.error(f"expected a value, found {spot.found()}; write null for null, or {{exists: true}}")
        return None
    return _predicate("equals", spot, flags)


def _alternatives(spot: Spot, flags: Flags) -> Test | None:
    if not spot.expect_list("values, any of which it may be"):
        return None
    if all(isinstance(item.node, ScalarNode) and not item.is_blank for item in spot.items()):
        return _predicate("in", spot, flags)
    tests = []
    for item in spot.items():
        if isinstance(item.node, SequenceNode):
            item.error("a list in a list; to match a whole array, write {equals: [ … ]}")
        else:
            tests.append(parse_test(item, flags))
    return AnyTest(tuple(test for test in tests if test))


def _predicate(name: str, spot: Spot, flags: Flags) -> Test | None:
    predicate = _build(name, spot, flags)
    return OneValue(((name, predicate),)) if predicate else None


def _build(name: str, spot: Spot, flags: Flags) -> Predicate | None:
    try:
        return OPERATORS[name](spot.node, flags)
    except OperandError as error:
        spot.report.add(error.node, spot.path, str(error))
        return None


def _operator_map(spot: Spot, flags: Flags) -> Test | None:
    if not spot.expect_mapping("operators"):
        return None
    flags = replace(flags, fold=_fold(spot, flags))
    predicates: list[tuple[str, Predicate]] = []
    tests: list[Test] = []
    for name, operand in spot.entries():
        if name in OPERATORS:
            predicate = _build(name, operand, flags)
            predicates += [(name, predicate)] if predicate else []
        elif name == "elem":
            predicates.append((name, _elem(operand, flags)))
        elif name == "ignore_case":
            continue
        elif name in _FIELD_WORDS:
            test = _FIELD_TESTS[name](operand, flags)
            tests += [test] if test else []
        else:
            spot.key_error(name, _unknown_operator(name))
    if predicates:
        tests.insert(0, OneValue(tuple(predicates)))
    _check_contradiction(spot)
    if not tests and not spot.report.failed:
        spot.error("ignore_case alone asks nothing; add an operator such as equals")
    return tests[0] if len(tests) == 1 else EachTest(tuple(tests))


def _fold(spot: Spot, flags: Flags) -> bool:
    operand = spot.at("ignore_case")
    if not spot.has("ignore_case"):
        return flags.fold
    if not isinstance(operand.node, ScalarNode) or not isinstance(operand.node.value, bool):
        operand.error(f"expected true or false, found {operand.found()}")
        return flags.fold
    if operand.node.value and not _folds(spot.node):
        spot.key_error("ignore_case", f"ignore_case changes nothing here; it goes beside {', '.join(sorted(FOLDING))}")
    return operand.node.value


def _folds(node: Node) -> bool:
    """Whether an operator that ignore_case changes stands in this operator map, or in its not and every."""
    if not isinstance(node, MappingNode):
        return True  # a scalar or a list below not or every: equality
    words = set(node.entries)
    if words & FOLDING:
        return True
    return any(_folds(node.entries[word][1]) for word in ("not", "every") if word in node.entries)


def _has_numeric(node: Node) -> bool:
    if isinstance(node, SequenceNode):
        return any(_has_numeric(item) for item in node.items)
    if not isinstance(node, MappingNode):
        return False
    return bool(NUMERIC & set(node.entries)) or any(_has_numeric(value) for _, value in node.entries.values())


def _check_contradiction(spot: Spot) -> None:
    exists = spot.at("exists")
    others = [key for key, _ in spot.entries() if key in OPERATORS or key in ("elem", "every")]
    if spot.has("exists") and others and exists.data is False:
        spot.key_warn("exists", f"this can't hold: {others[0]} needs a value and exists: false forbids one")


def _exists(spot: Spot, flags: Flags) -> Test | None:  # noqa: ARG001 - the common signature
    if isinstance(spot.node, ScalarNode) and isinstance(spot.node.value, bool):
        return Exists(spot.node.value)
    spot.error(f"expected true or false, found {spot.found()}")
    return None


def _every(spot: Spot, flags: Flags) -> Test | None:
    test = parse_test(spot, flags)
    return Every(test) if test else None


def _not(spot: Spot, flags: Flags) -> Test | None:
    test = parse_test(spot, flags)
    return NotTest(test) if test else None


_FIELD_TESTS: dict[str, Callable[[Spot, Flags], Test | None]] = {"exists": _exists, "every": _every, "not": _not}


def _elem(spot: Spot, flags: Flags) -> Predicate:
    if not spot.expect_mapping("$ fields of the element to what they must be"):
        return lambda _: False
    condition = parse_match(spot, element=True)
    return lambda value: condition.holds(ParsedEvent(_NO_EVENT, value, flags.decimals))


def _unknown_operator(name: str) -> str:
    if name.startswith("$"):
        return (
            f'"{shortened(name)}" is a field among operators; below a field come operators. '
            "For fields of the same list element, use elem:"
        )
    synonyms = {
        "eq": "equals", "equal": "equals", "is": "equals", "==": "equals", "ne": "not", "!=": "not", "neq": "not",
        "starts_with": "prefix", "startswith": "prefix", "ends_with": "suffix", "endswith": "suffix",
        "matches": "regex", "match": "regex", "pattern": "regex", "like": "glob", "wildcard": "glob",
        ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "min": "gte", "max": "lte", "len": "length", "size": "length",
        "any": "in", "one_of": "in", "anyof": "in", "includes": "contains", "has": "contains", "present": "exists",
    }  # fmt: skip
    if name.lower() in synonyms:
        return f'unknown operator "{name}"; did you mean "{synonyms[name.lower()]}"?'
    return f'unknown operator "{shortened(name)}"' + did_you_mean(name, _WORDS)
