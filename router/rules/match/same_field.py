"""The operator `equals_field`: a value equals some value of another field. Types are compared, also deep inside."""

from collections.abc import Hashable
from typing import Any

from router.rules.match.fields import AnyField, FieldValues
from router.rules.match.operators.operand import Predicate
from router.rules.match.values import scalar_key


def same_as(other: AnyField, reads: FieldValues) -> Predicate:
    """The predicate for one event. It takes time in proportion to the values of both fields."""
    keys: set[Hashable] | None = None

    def test(value: Any) -> bool:
        nonlocal keys
        if keys is None:
            keys = {_key(one) for one in reads[other]}
        return _key(value) in keys

    return test


def _key(value: Any) -> Hashable:
    """Equal for equal values, as `equals` compares. Payloads nest 200 levels at the most."""
    if isinstance(value, list):
        return ("list", tuple(map(_key, value)))
    if isinstance(value, dict):
        return ("mapping", frozenset((key, _key(inner)) for key, inner in value.items()))
    return scalar_key(value)
