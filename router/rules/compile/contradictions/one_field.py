"""Contradictions between the constraints on one field: types, bounds, constants, and what `not` excludes."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from router.rules.compile.contradictions.constraints import (
    FieldConstraints,
    Group,
    Subject,
    constants_of,
)
from router.rules.match.field_tests import Clause, OneValue, Test, reads_event
from router.rules.match.operators import ORDERED
from router.rules.match.operators.age import age_seconds
from router.rules.match.values import decimal

_TEXT, _NUMBER, _LIST, _MAPPING, _OTHER = "text", "a number", "a list", "a mapping", "true, false or null"
_ANY_TYPE = frozenset({_TEXT, _NUMBER, _LIST, _MAPPING, _OTHER})
_ON_TEXT = ("prefix", "suffix", "regex", "glob", "cidr")

OperatorReason = tuple[str, str]
"""The operator that can't hold, and why."""


def contradiction_of_field(subject: Subject, constraints: FieldConstraints) -> OperatorReason | None:
    """The operator that contradicts the field's other operators, and why; None if they may hold together."""
    groups = constraints.groups(single=subject.single)
    if False in constraints.exists and (groups or constraints.container or True in constraints.exists):
        word = groups[0][0].operator if groups else "exists: true"
        needs = f"{word} needs a value" if not constraints.container else "something below it has to be there"
        return "exists", f"{needs} and exists: false forbids one"
    for group in groups:
        found = _contradictory_group(subject, group, container=constraints.container and subject.single)
        found = found or next(
            (c for test in constraints.nots if (c := _excluded_by_not(group, test)) is not None), None
        )
        if found is not None:
            return found
    return None


def _contradictory_group(subject: Subject, group: Group, *, container: bool) -> OperatorReason | None:
    return (
        _contradictory_types(subject, group, container=container)
        or _contradictory_bounds(group)
        or _contradictory_constants(group)
    )


def _contradictory_types(subject: Subject, group: Group, *, container: bool) -> OperatorReason | None:
    """The operators must have a type of value in common."""
    common, by = (frozenset({_TEXT}), "the field") if subject.text_only else (_ANY_TYPE, "")
    if container:
        common, by = frozenset({_MAPPING}), "what stands below it"
    for clause in group:
        allowed = _types_of(clause, decimals=subject.decimals or not subject.text_only)
        if not common & allowed:
            verb = "is" if by == "the field" else "needs"
            return (
                clause.operator,
                f"{clause.operator} needs {_either(allowed)} and {by} {verb} {_either(common)}",
            )
        if allowed < common:
            common, by = common & allowed, clause.operator
    return None


def _either(types: Iterable[str]) -> str:
    *others, last = sorted(types)
    return f"{', '.join(others)} or {last}" if others else last


def _types_of(clause: Clause, *, decimals: bool) -> frozenset[str]:
    if clause.operator in ("equals", "in"):
        return frozenset(_type_of(value) for value in constants_of(clause))
    if clause.operator in _ON_TEXT:
        return frozenset({_TEXT})
    if clause.operator in ORDERED and isinstance(clause.operand, str):
        return frozenset({_TEXT})
    if clause.operator in ORDERED:
        # In a form, a header and a query, numbers are text.
        return frozenset({_NUMBER, _TEXT}) if decimals else frozenset({_NUMBER})
    if clause.operator == "contains":
        entries = clause.operand if isinstance(clause.operand, list) else [clause.operand]
        return frozenset({_TEXT, _LIST}) if any(isinstance(e, str) for e in entries) else frozenset({_LIST})
    return frozenset({_TEXT, _LIST, _MAPPING}) if clause.operator == "length" else _ANY_TYPE


def _type_of(value: Any) -> str:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, list | dict):
        return _LIST if isinstance(value, list) else _MAPPING
    return _OTHER if value is None or isinstance(value, bool) else _NUMBER


def _contradictory_bounds(group: Group) -> OperatorReason | None:
    found = _crossed_bounds([(clause.operator, clause.operand) for clause in group])
    if found is not None:
        return found
    for clause in group:
        if clause.operator in ("length", "age") and isinstance(clause.operand, dict):
            read = _AGES if clause.operator == "age" else _AS_IT_IS
            found = _crossed_bounds(list(clause.operand.items()), read)
            if found is not None:
                return clause.operator, found[1]
    return None


_Read = Callable[[Any], Any]
_AS_IT_IS: _Read = lambda bound: bound  # noqa: E731
_AGES: _Read = age_seconds


def _crossed_bounds(bounds: Sequence[tuple[str, Any]], read: _Read = _AS_IT_IS) -> OperatorReason | None:
    """A lower bound above an upper bound; `read` makes the written bounds comparable."""
    for low, lowest in bounds:
        for high, highest in bounds if low in ("gt", "gte") else ():
            least, most = read(lowest), read(highest)
            closed = low == "gte" and high == "lte"
            if high in ("lt", "lte") and _alike(least, most) and (least > most or (least == most and not closed)):
                return high, f"nothing is {low} {lowest} and {high} {highest}"
    return None


def _alike(least: Any, most: Any) -> bool:
    return isinstance(least, str) is isinstance(most, str)


def _contradictory_constants(group: Group) -> OperatorReason | None:
    """At least one of the listed values must pass all other operators."""
    for clause in group:
        if clause.operator not in ("equals", "in"):
            continue
        others = [c for c in group if c is not clause and not (c.may_raise or c.bind) and (c.fold or not clause.fold)]
        failing = [next((o for o in others if not _allows(o, value)), None) for value in constants_of(clause)]
        if all(failing):
            other = failing[0].operator  # type: ignore[union-attr]  # `all` excludes None
            return clause.operator, f"the value fails {other} beside it"
    return None


def _allows(clause: Clause, value: Any) -> bool:
    if clause.test(value):
        return True
    number = decimal(value) if clause.operator in ORDERED and isinstance(value, str) else None
    return number is not None and clause.test(number)


def _excluded_by_not(group: Group, test: Test) -> OperatorReason | None:
    """`not` must not exclude what the other operators demand."""
    if isinstance(test, OneValue) and {_key(clause) for clause in test.clauses} <= {_key(clause) for clause in group}:
        return "not", f"{test.clauses[0].operator} must hold, and not: excludes it"
    if test.may_raise or reads_event(test):
        return None
    for clause in group:
        is_constant = clause.operator in ("equals", "in") and not clause.fold
        if is_constant and all(test.holds([value]) for value in constants_of(clause)):
            return "not", f"not excludes the value of {clause.operator}"
    return None


def _key(clause: Clause) -> tuple[str, str, bool]:
    return clause.operator, json.dumps(clause.operand, sort_keys=True), clause.fold
