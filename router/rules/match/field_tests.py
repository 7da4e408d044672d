"""Tests of a field's values: what an operator map, a list of alternatives or a scalar asks.

TODO
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any, Protocol

from router.rules.match.judges import every_judge, infallible_first, some_judge
from router.rules.match.operators.operand import Predicate

ValuesJudge = Callable[[list[Any]], bool]
"""Whether a field's values pass a test. Raises EvaluationError."""


class Test(Protocol):
    """What is asked of a field's values."""

    @property
    def holds(self) -> ValuesJudge:
        """Judges the values."""
        ...

    @property
    def fallible(self) -> bool:
        """Whether judging may raise."""
        ...


@dataclass(frozen=True, slots=True)
class Clause:
    """One operator with its operand, which judges one value."""

    operator: str
    operand: Any  #: as written
    test: Predicate = made(compare=False)
    fold: bool = False  #: ignores case
    fallible: bool = False  #: whether it may raise: an `elem` with such a path


@dataclass(frozen=True, slots=True)
class OneValue:
    """Any one value satisfies every clause, taken together."""

    clauses: tuple[Clause, ...]
    holds: ValuesJudge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", any(clause.fallible for clause in self.clauses))
        object.__setattr__(self, "holds", _some_value(infallible_first(self.clauses)))


def _some_value(clauses: Sequence[Clause]) -> ValuesJudge:
    first = clauses[0]
    if len(clauses) == 1:
        if first.operator == "equals" and not first.fold and isinstance(first.operand, str | None):
            wanted = first.operand
            return lambda values: wanted in values  # nothing else equals text or null
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
    """The field has a value, be it null; or it has none."""

    wanted: bool
    holds: ValuesJudge = made(init=False, compare=False, repr=False)
    fallible: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", bool if self.wanted else (lambda values: not values))


@dataclass(frozen=True, slots=True)
class Every:
    """There is a value, and the test holds for each taken alone."""

    test: Test
    holds: ValuesJudge = made(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", self._judge())

    def _judge(self) -> ValuesJudge:
        if isinstance(self.test, OneValue):
            one = every_judge([clause.test for clause in infallible_first(self.test.clauses)])
            return lambda values: bool(values) and all(map(one, values))
        test = self.test.holds
        return lambda values: bool(values) and all(test([value]) for value in values)

    @property
    def fallible(self) -> bool:
        """Whether judging may raise."""
        return self.test.fallible


@dataclass(frozen=True, slots=True)
class NotTest:
    """The exact complement of a test."""

    test: Test
    holds: ValuesJudge = made(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        test = self.test.holds
        object.__setattr__(self, "holds", lambda values: not test(values))

    @property
    def fallible(self) -> bool:
        """Whether judging may raise."""
        return self.test.fallible


@dataclass(frozen=True, slots=True)
class EachTest:
    """Every test holds: the parts of one operator map."""

    tests: tuple[Test, ...]
    holds: ValuesJudge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", any(test.fallible for test in self.tests))
        object.__setattr__(self, "holds", every_judge([test.holds for test in infallible_first(self.tests)]))


@dataclass(frozen=True, slots=True)
class AnyTest:
    """One test holds: the entries of a list."""

    tests: tuple[Test, ...]
    holds: ValuesJudge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", any(test.fallible for test in self.tests))
        object.__setattr__(self, "holds", some_judge([test.holds for test in infallible_first(self.tests)]))
