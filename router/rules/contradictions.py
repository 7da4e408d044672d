"""Warns of operator maps that no value can satisfy."""

from collections.abc import Mapping, Sequence
from typing import Any

from router.rules.conditions import Clause
from router.rules.operators import NUMERIC, OPERATORS, Flags
from router.rules.spot import Spot

_TEXT_ONLY = ("prefix", "suffix", "regex", "glob", "cidr")


def warn_of_contradictions(spot: Spot, clauses: Sequence[Clause], flags: Flags) -> None:
    """Warn when the operators of one map, already compiled, exclude each other."""
    words = [key for key, _ in spot.entries() if key in OPERATORS or key in ("elem", "every")]
    if words and spot.has("exists") and spot.at("exists").data is False:
        spot.key_warn("exists", f"this can't hold: {words[0]} needs a value and exists: false forbids one")
    _warn_of_bounds(spot, {clause.operator: clause.operand for clause in clauses})
    for clause in clauses:
        if clause.operator == "length" and isinstance(clause.operand, dict):
            _warn_of_bounds(spot.at("length"), clause.operand)
    texts = [clause.operator for clause in clauses if clause.operator in _TEXT_ONLY]
    numbers = [clause.operator for clause in clauses if clause.operator in NUMERIC]
    if texts and numbers and not flags.decimals:
        spot.key_warn(numbers[0], f"this can't hold: {numbers[0]} needs a number and {texts[0]} needs text")
    _warn_of_constants(spot, clauses)


def _warn_of_bounds(spot: Spot, operands: Mapping[str, Any]) -> None:
    lows = [name for name in ("gt", "gte") if name in operands]
    highs = [name for name in ("lt", "lte") if name in operands]
    for low in lows:
        for high in highs:
            both_closed = low == "gte" and high == "lte"
            if operands[low] > operands[high] or (operands[low] == operands[high] and not both_closed):
                spot.key_warn(high, f"this can't hold: nothing is {low} {operands[low]} and {high} {operands[high]}")
                return


def _warn_of_constants(spot: Spot, clauses: Sequence[Clause]) -> None:
    """A value that has to be one of a few must be one that the other operators allow."""
    for clause in clauses:
        others = [other for other in clauses if other is not clause and not other.fallible]
        if clause.fold or clause.operator not in ("equals", "in") or not others:
            continue
        allowed = clause.operand if clause.operator == "in" else [clause.operand]
        if not any(all(other.test(value) for other in others) for value in allowed):
            spot.key_warn(clause.operator, f"this can't hold: the value fails {others[0].operator} beside it")
            return
