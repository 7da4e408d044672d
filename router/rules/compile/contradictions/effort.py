"""Estimates the cost of the search for contradictions, to keep it within the budget of a load."""

from typing import Any

from router.rules.compile.contradictions.constraints import Constraints, constants_of
from router.rules.match.field_tests import AnyTest, Clause, EachTest, Every, NotTest, OneValue, Test
from router.rules.match.fields import PayloadField
from router.rules.match.operators import LISTED

_PER_FIELD = 8  #: steps for a field, beside those for its constraints
_PER_COMPOUND = 8  #: steps to compare a value with a list or a mapping, which is slow


def effort(constraints: Constraints) -> int:
    """An upper estimate of the steps that comparing the constraints takes."""
    steps = 0
    for subject, of_field in constraints.items():
        clauses = [clause for group in of_field.some for clause in group] + of_field.every
        beside = sum(map(_comparisons, clauses)) + sum(_comparisons_of_test(test) for test in of_field.nots)
        values = sum(len(constants_of(clause)) for clause in clauses if clause.operator in ("equals", "in"))
        names = subject.compiled.names if isinstance(subject, PayloadField) else None
        steps += _PER_FIELD + (len(clauses) + values) * (len(clauses) + beside) + len(names or ()) ** 2 // 8
    return steps


def _comparisons(clause: Clause) -> int:
    """Steps that the clause takes to judge one value."""
    if not isinstance(clause.operand, list):
        return 1
    if not _are_scalars(clause.operand):
        return _PER_COMPOUND * len(clause.operand)
    return len(clause.operand) if clause.operator in LISTED else 1


def _are_scalars(values: list[Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def _comparisons_of_test(test: Test) -> int:
    if isinstance(test, OneValue):
        return sum(1 + (len(clause.operand) if isinstance(clause.operand, list) else 0) for clause in test.clauses)
    parts = (
        test.tests if isinstance(test, EachTest | AnyTest) else [test.test] if isinstance(test, NotTest | Every) else []
    )
    return 1 + sum(map(_comparisons_of_test, parts))
