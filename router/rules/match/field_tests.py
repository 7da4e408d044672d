"""Tests of a field's values: an operator map, a list of alternatives or a scalar.

A field selects a list of values. A positive operator map holds if any one value satisfies all of it. `not`, `exists`
and `every` judge the field as a whole. `not` is the exact complement of its test, also for a missing field.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any, Protocol

from router.rules.match.fields import AnyField, FieldValues
from router.rules.match.operators.operand import Predicate
from router.rules.match.predicates import all_of, any_of, safe_first

ValuesPredicate = Callable[[list[Any]], bool]
"""Whether a field's values pass a test. Raises EvaluationError."""


class Test(Protocol):
    """Judges the values of a field."""

    @property
    def holds(self) -> ValuesPredicate:
        """The test itself."""
        ...

    @property
    def may_raise(self) -> bool:
        """Whether `holds` may raise."""
        ...


@dataclass(frozen=True, slots=True)
class Clause:
    """One operator with its operand; judges one value."""

    operator: str
    operand: Any  #: as written
    test: Predicate = made(compare=False)
    fold: bool = False  #: ignore_case: true
    may_raise: bool = False  #: True for an `elem` with a path that may raise
    bind: Callable[[FieldValues], Predicate] | None = made(default=None, compare=False)
    """For an operator that reads more of the event than the value, such as `age`: makes its test for one event."""
    other: AnyField | None = None  #: the field that `equals_field` compares with

    def bound(self, reads: FieldValues) -> "Clause":
        """The clause with its test for one event."""
        if self.bind is None:
            return self
        return Clause(self.operator, self.operand, self.bind(reads), self.fold, self.may_raise)


@dataclass(frozen=True, slots=True)
class OneValue:
    """At least one value satisfies all clauses."""

    clauses: tuple[Clause, ...]
    holds: ValuesPredicate = made(init=False, compare=False, repr=False)
    may_raise: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_raise", any(clause.may_raise for clause in self.clauses))
        object.__setattr__(self, "holds", _any_value(safe_first(self.clauses)))


def _any_value(clauses: Sequence[Clause]) -> ValuesPredicate:
    first = clauses[0]
    if len(clauses) == 1:
        if first.operator == "equals" and not first.fold and isinstance(first.operand, str | None):
            wanted = first.operand
            return lambda values: wanted in values  # no value of another type equals text or null
        test = first.test

        def one(values: list[Any]) -> bool:
            for value in values:  # noqa: SIM110 - a generator would cost more than the loop
                if test(value):
                    return True
            return False

        return one
    tests = [clause.test for clause in clauses]

    def each(values: list[Any]) -> bool:
        for value in values:
            for test in tests:
                if not test(value):
                    break
            else:
                return True
        return False

    return each


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value, which may be null; or, with `wanted` false, it has none."""

    wanted: bool
    holds: ValuesPredicate = made(init=False, compare=False, repr=False)
    may_raise: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", bool if self.wanted else (lambda values: not values))


@dataclass(frozen=True, slots=True)
class Every:
    """The field has a value, and each value alone passes the test."""

    test: Test
    holds: ValuesPredicate = made(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", self._judge())

    def _judge(self) -> ValuesPredicate:
        if isinstance(self.test, OneValue):
            one = all_of([clause.test for clause in safe_first(self.test.clauses)])
            return lambda values: bool(values) and all(map(one, values))
        test = self.test.holds
        return lambda values: bool(values) and all(test([value]) for value in values)

    @property
    def may_raise(self) -> bool:
        """Whether `holds` may raise."""
        return self.test.may_raise


@dataclass(frozen=True, slots=True)
class NotTest:
    """The test fails."""

    test: Test
    holds: ValuesPredicate = made(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        test = self.test.holds
        object.__setattr__(self, "holds", lambda values: not test(values))

    @property
    def may_raise(self) -> bool:
        """Whether `holds` may raise."""
        return self.test.may_raise


@dataclass(frozen=True, slots=True)
class EachTest:
    """Every test holds. An operator map with `not`, `exists` or `every` is such a test."""

    tests: tuple[Test, ...]
    holds: ValuesPredicate = made(init=False, compare=False, repr=False)
    may_raise: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_raise", any(test.may_raise for test in self.tests))
        object.__setattr__(self, "holds", all_of([test.holds for test in safe_first(self.tests)]))


@dataclass(frozen=True, slots=True)
class AnyTest:
    """At least one test holds. A list of operator maps is such a test."""

    tests: tuple[Test, ...]
    holds: ValuesPredicate = made(init=False, compare=False, repr=False)
    may_raise: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_raise", any(test.may_raise for test in self.tests))
        object.__setattr__(self, "holds", any_of([test.holds for test in safe_first(self.tests)]))


def clauses_in(test: Test) -> Iterator[Clause]:
    """All clauses of a test, at any depth."""
    if isinstance(test, OneValue):
        yield from test.clauses
    elif isinstance(test, Every | NotTest):
        yield from clauses_in(test.test)
    elif isinstance(test, EachTest | AnyTest):
        for part in test.tests:
            yield from clauses_in(part)


def reads_event(test: Test) -> bool:
    """Whether the test reads more of the event than the field's values."""
    return any(clause.bind is not None for clause in clauses_in(test))


def bound(test: Test, reads: FieldValues) -> Test:
    """The test for one event."""
    if isinstance(test, OneValue):
        return OneValue(tuple(clause.bound(reads) for clause in test.clauses))
    if isinstance(test, Every):
        return Every(bound(test.test, reads))
    if isinstance(test, NotTest):
        return NotTest(bound(test.test, reads))
    if isinstance(test, EachTest):
        return EachTest(tuple(bound(part, reads) for part in test.tests))
    return AnyTest(tuple(bound(part, reads) for part in test.tests)) if isinstance(test, AnyTest) else test
