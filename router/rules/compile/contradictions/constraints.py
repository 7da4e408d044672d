"""The constraints that conditions put on each field if all of them hold."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from router.domain.work_budget import spend
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.field_tests import Clause, EachTest, Every, Exists, NotTest, OneValue, Test
from router.rules.match.fields import PayloadField

Group = tuple[Clause, ...]
"""Clauses that a single value must satisfy together."""


class Subject(Protocol):
    """A constrained field: what kinds of values it can have."""

    @property
    def single(self) -> bool:
        """The field has at most one value."""
        ...

    @property
    def text_only(self) -> bool:
        """All its values are text."""
        ...

    @property
    def decimals(self) -> bool:
        """Numeric operators read decimals in its texts."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ValuesOfField:
    """Stands for a field when only its operator map is known."""

    text_only: bool
    decimals: bool
    single: bool = False


@dataclass(slots=True)
class FieldConstraints:
    """The constraints on one field."""

    some: list[Group] = field(default_factory=list)  #: each is satisfied by some value
    every: list[Clause] = field(default_factory=list)  #: satisfied by every value, of which there is at least one
    nots: list[Test] = field(default_factory=list)  #: tests that must fail
    exists: set[bool] = field(default_factory=set)  #: what `exists` asks for
    container: bool = False  #: another field needs a value inside this one

    def add(self, test: Test) -> None:
        """Add the constraints of a test that holds."""
        if isinstance(test, OneValue):
            self.some.append(test.clauses)
        elif isinstance(test, Exists):
            self.exists.add(test.wanted)
        elif isinstance(test, NotTest) and isinstance(test.test, Exists):
            self.exists.add(not test.test.wanted)
        elif isinstance(test, NotTest):
            self.nots.append(test.test)
        elif isinstance(test, EachTest):
            for part in test.tests:
                self.add(part)
        elif isinstance(test, Every):
            self.exists |= {True}
            self.every += clauses_of(test.test)

    def groups(self, *, single: bool) -> list[Group]:
        """The groups of clauses, each for one value; a field with at most one value has a single group."""
        if single and (self.some or self.every):
            return [(*(clause for group in self.some for clause in group), *self.every)]
        groups = [(*group, *self.every) for group in self.some]
        return groups or ([tuple(self.every)] if self.every else [])


Constraints = defaultdict[Subject, FieldConstraints]
"""The constraints by field."""


def constraints_of(conditions: Iterable[Condition]) -> Constraints:
    """The constraints of all the conditions together."""
    constraints: Constraints = defaultdict(FieldConstraints)
    for condition in conditions:
        add_constraints(constraints, condition)
    return constraints


def add_constraints(constraints: Constraints, condition: Condition) -> None:
    """Add the constraints of a condition, while the load's budget lasts."""
    if not spend("comparisons"):
        return
    if isinstance(condition, FieldCondition):
        constraints[condition.field].add(condition.test)
    elif isinstance(condition, All):
        for part in condition.conditions:
            add_constraints(constraints, part)
    elif isinstance(condition, Not):
        inner = condition.condition
        for part in inner.conditions if isinstance(inner, AnyOf) else [inner]:
            alone = _single_field(part)
            if alone is not None:
                constraints[alone.field].add(NotTest(alone.test))


def _single_field(condition: Condition) -> FieldCondition | None:
    """The field condition, if the condition consists of a single one."""
    while isinstance(condition, All) and len(condition.conditions) == 1:
        condition = condition.conditions[0]
    return condition if isinstance(condition, FieldCondition) else None


def clauses_of(test: Test) -> list[Clause]:
    """The clauses of a plain operator map; empty for other tests."""
    return list(test.clauses) if isinstance(test, OneValue) else []


def constants_of(clause: Clause) -> list[Any]:
    """The values that `equals` or `in` allows."""
    return list(clause.operand) if clause.operator == "in" else [clause.operand]


def mark_containers(constraints: Constraints) -> None:
    """Mark each field that must hold a value inside it, as another field asks: `$.a.b` makes `$.a` a mapping."""
    by_names = {
        f.compiled.names: f for f in constraints if isinstance(f, PayloadField) and f.compiled.names is not None
    }
    for names, subject in by_names.items():
        inner = constraints[subject]
        if inner.some or inner.every or True in inner.exists:
            for length in range(len(names)):
                above = by_names.get(names[:length])
                if above is not None:
                    constraints[above].container = True
