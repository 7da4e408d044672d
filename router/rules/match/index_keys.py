"""The keys that a condition needs: if an event has none of them, the index knows that the condition fails.

A need is a key (some value of a field must look like this), all of several needs, or any of several. A condition
without a need is judged for every event.

Errors are the same as if each rule were judged in turn: needs come only from the parts that are judged before any part
can raise, and from the first part that may raise. So a rule whose keys are missing can neither hold nor raise.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import re2

from router.domain.networks import network
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition
from router.rules.match.field_tests import AnyTest, Clause, EachTest, Every, Exists, OneValue, Test
from router.rules.match.fields import AnyField
from router.rules.match.operators import LISTED, ORDERED
from router.rules.match.operators.patterns import glob_pattern
from router.rules.match.predicates import safe_first
from router.rules.match.values import scalar_key

MAX_KEYS = 50_000  #: of one rule; with more it is judged for every event


class IndexKey(NamedTuple):
    """What at least one value of a field has to look like."""

    field: AnyField
    kind: (
        str  #: text, scalar, prefix, suffix, item, range, text_range, cidr, pattern, present; folded_… for ignore_case
    )
    value: Any = None


@dataclass(frozen=True, slots=True)
class AllOf:
    """All are needed, so the rule is filed under one of them."""

    needs: tuple["IndexNeed", ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of them is needed, so the rule is filed under each of them."""

    needs: tuple["IndexNeed", ...]


IndexNeed = IndexKey | AllOf | OneOf


def index_need(condition: Condition) -> IndexNeed | None:
    """The need of a condition; None if it might hold for any event."""
    if isinstance(condition, FieldCondition):
        return _of_test(condition.field, condition.test)
    if isinstance(condition, All):
        return _all_of(condition.conditions, index_need)
    if isinstance(condition, AnyOf):
        return _one_of(index_need(part) for part in condition.conditions)
    return None


def _all_of(parts: Sequence[Any], of: Callable[[Any], IndexNeed | None]) -> IndexNeed | None:
    found: list[IndexNeed] = []
    for part in safe_first(parts):
        one = of(part)
        if one is not None:
            found.append(one)
        if part.may_raise:
            break  # the parts after it are judged only if it doesn't raise
    return found[0] if len(found) == 1 else AllOf(tuple(found)) if found else None


def _one_of(needs: Iterable[IndexNeed | None]) -> IndexNeed | None:
    found: list[IndexNeed] = []
    for one in needs:
        if one is None:
            return None
        found.append(one)
    return found[0] if len(found) == 1 else OneOf(tuple(found)) if found else None


def _of_test(field: AnyField, test: Test) -> IndexNeed | None:
    if isinstance(test, OneValue):
        return _of_clauses(field, test.clauses)
    if isinstance(test, Exists):
        return IndexKey(field, "present") if test.wanted else None
    if isinstance(test, Every):
        return _of_test(field, test.test) or IndexKey(field, "present")
    if isinstance(test, EachTest):
        return _all_of(test.tests, lambda part: _of_test(field, part))
    if isinstance(test, AnyTest):
        return _one_of(_of_test(field, part) for part in test.tests)
    return None


def _of_clauses(field: AnyField, clauses: Sequence[Clause]) -> IndexNeed:
    """One value must satisfy all clauses, so each clause gives a need. Without a clause, some value must be present."""
    needs = [one for clause in clauses if (one := _of_clause(field, clause)) is not None]
    bounds = {clause.operator: clause.operand for clause in clauses if clause.operator in ORDERED}
    if bounds:
        low = max((bounds[name] for name in ("gt", "gte") if name in bounds), default=None)
        high = min((bounds[name] for name in ("lt", "lte") if name in bounds), default=None)
        kind = "text_range" if isinstance(next(iter(bounds.values())), str) else "range"
        needs.append(IndexKey(field, kind, (low, high)))
    if not needs:
        return IndexKey(field, "present")
    return needs[0] if len(needs) == 1 else AllOf(tuple(needs))


def _of_clause(field: AnyField, clause: Clause) -> IndexNeed | None:
    operand = clause.operand
    if clause.operator in LISTED and isinstance(operand, list):
        return _one_of(_of_clause(field, replace(clause, operand=item)) for item in operand)
    if clause.operator == "equals":
        return _equal(field, operand, fold=clause.fold)
    if clause.operator == "in":
        return _one_of(_equal(field, item, fold=clause.fold) for item in operand)
    if clause.operator in ("prefix", "suffix"):
        return _text_key(field, clause.operator, operand, fold=clause.fold)
    if clause.operator == "contains":
        return _contains(field, operand, fold=clause.fold)
    if clause.operator == "regex":
        return IndexKey(field, "pattern", f"(?i){operand}" if clause.fold else operand)
    if clause.operator == "glob":
        return _glob(field, operand, fold=clause.fold)
    if clause.operator == "cidr":
        return IndexKey(field, "cidr", network(operand))
    return None


def _text_key(field: AnyField, kind: str, text: str, *, fold: bool) -> IndexKey:
    return IndexKey(field, f"folded_{kind}", text.casefold()) if fold else IndexKey(field, kind, text)


def _equal(field: AnyField, operand: Any, *, fold: bool) -> IndexNeed | None:
    if isinstance(operand, str):
        return _text_key(field, "text", operand, fold=fold)
    if isinstance(operand, list | dict):
        return IndexKey(field, "present")
    return IndexKey(field, "scalar", scalar_key(operand))


def _contains(field: AnyField, operand: Any, *, fold: bool) -> IndexNeed:
    if isinstance(operand, str):
        pattern = _text_key(field, "pattern", operand, fold=fold)
        in_text = pattern._replace(value=re2.escape(pattern.value))
        return OneOf((in_text, _text_key(field, "item", operand, fold=fold)))
    if isinstance(operand, list | dict):
        return IndexKey(field, "present")
    return IndexKey(field, "scalar_item", scalar_key(operand))


_WILD = re.compile(r"[*?]+")


def _glob(field: AnyField, text: str, *, fold: bool) -> IndexNeed:
    pieces = _WILD.split(text)
    if len(pieces) == 1:
        return _text_key(field, "text", text, fold=fold)
    needs = []
    if pieces[0]:
        needs.append(_text_key(field, "prefix", pieces[0], fold=fold))
    if pieces[-1]:
        needs.append(_text_key(field, "suffix", pieces[-1], fold=fold))
    if any(pieces[1:-1]) or not needs:
        folded = text.casefold() if fold else text
        needs.append(IndexKey(field, "folded_pattern" if fold else "pattern", rf"\A(?:{glob_pattern(folded)})\z"))
    return needs[0] if len(needs) == 1 else AllOf(tuple(needs))
