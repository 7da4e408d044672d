"""Conditions: compiled once from a `match` mapping, judged against events.

A field selects a list of values. A positive operator map holds when any one value satisfies all of it; `not`, `exists`
and `every` judge the field as a whole. `not` is the exact complement of what it holds, also for a missing field.

Every node has its judgement as a function that is made once (`holds`), since a rule that no index can file is judged
for each event. What can't raise goes before what can (`fallible`), whatever the order in the file: the answer is the
same, and a path that fails is followed only when the rest of the rule holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from functools import lru_cache
from typing import Protocol

from router.rules.match.field_tests import OneValue, Test
from router.rules.match.fields import AnyField, HeaderField, Reads
from router.rules.match.jsonpath import sharing_work
from router.rules.match.judges import every_judge, infallible_first, some_judge

Judge = Callable[[Reads], bool]
"""Whether an event satisfies a condition. Raises EvaluationError when that can't be judged."""


class Condition(Protocol):
    """A compiled condition."""

    @property
    def holds(self) -> Judge:
        """Judges an event."""
        ...

    @property
    def fallible(self) -> bool:
        """Whether judging may raise."""
        ...


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field and what is asked of it."""

    field: AnyField
    test: Test
    form_test: Test  #: the same for a form's values, which are text: there numeric operators read decimals
    holds: Judge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", self.field.fallible or self.test.fallible)
        object.__setattr__(self, "holds", self._judge())

    def _judge(self) -> Judge:
        judge = self._judge_alone()
        if not self.test.fallible:
            return judge
        # An `elem` follows its paths in every value anew: all that takes is counted together.
        return lambda reads: sharing_work(reads.parsed.payload, lambda: judge(reads))

    def _judge_alone(self) -> Judge:
        selector, strict, form = self.field, self.test.holds, self.form_test.holds
        if self.form_test is not self.test:
            return lambda reads: (form if reads.parsed.form else strict)(reads[selector])
        wanted = self.text
        if wanted is not None:
            return lambda reads: wanted in reads[selector]
        return lambda reads: strict(reads[selector])

    @property
    def text(self) -> str | None:
        """The text that a value has to equal, when nothing else is asked."""
        if isinstance(self.test, OneValue) and len(self.test.clauses) == 1:
            clause = self.test.clauses[0]
            if clause.operator == "equals" and isinstance(clause.operand, str) and not clause.fold:
                return clause.operand
        return None


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds; without any, always."""

    conditions: tuple[Condition, ...]
    holds: Judge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", any(condition.fallible for condition in self.conditions))
        object.__setattr__(self, "holds", self._judge(infallible_first(self.conditions)))

    @staticmethod
    def _judge(parts: Sequence[Condition]) -> Judge:
        texts = _text_equalities(parts)
        if texts is None:
            return every_judge([part.holds for part in parts])
        fields, wanted = texts

        def every(reads: Reads) -> bool:
            for selector, text in zip(fields, wanted):  # noqa: B905, SIM110 - of one length, and this is the hot path
                if text not in reads[selector]:
                    return False
            return True

        return every


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple[Condition, ...]
    holds: Judge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", any(condition.fallible for condition in self.conditions))
        object.__setattr__(self, "holds", self._judge(infallible_first(self.conditions)))

    @staticmethod
    def _judge(parts: Sequence[Condition]) -> Judge:
        texts = _text_equalities(parts)
        if texts is None:
            return some_judge([part.holds for part in parts])
        fields, wanted = texts

        def some(reads: Reads) -> bool:
            for selector, text in zip(fields, wanted):  # noqa: B905, SIM110 - of one length, and this is the hot path
                if text in reads[selector]:
                    return True
            return False

        return some


@lru_cache(maxsize=10_000)
def _shared(fields: tuple[AnyField, ...]) -> tuple[AnyField, ...]:
    """One tuple for all rules that ask the same fields."""
    return fields


def _text_equalities(parts: Sequence[Condition]) -> tuple[tuple[AnyField, ...], tuple[str, ...]] | None:
    """Fields and texts of conditions that are all `field: text`, the most common ones.

    With thousands of rules what counts is the memory that judging one touches: this is a fifth of a function for each.
    """
    fields: list[AnyField] = []
    wanted: list[str] = []
    for part in parts:
        inner = part.conditions[0] if isinstance(part, All) and len(part.conditions) == 1 else part
        if not isinstance(inner, FieldCondition) or (text := inner.text) is None:
            return None
        fields.append(inner.field)
        wanted.append(text)
    return (_shared(tuple(fields)), tuple(wanted)) if len(wanted) > 1 else None


@dataclass(frozen=True, slots=True)
class Not:
    """The condition doesn't hold."""

    condition: Condition
    word: str = "not"  #: or `none`, which says it of a list
    holds: Judge = made(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        inner = self.condition.holds
        object.__setattr__(self, "holds", lambda reads: not inner(reads))

    @property
    def fallible(self) -> bool:
        """Whether judging may raise."""
        return self.condition.fallible


def headers_of(condition: Condition) -> frozenset[str]:
    """The headers that a condition reads, in lower case."""
    if isinstance(condition, FieldCondition):
        return frozenset([condition.field.name]) if isinstance(condition.field, HeaderField) else _NO_HEADERS
    if isinstance(condition, Not):
        return headers_of(condition.condition)
    if isinstance(condition, All | AnyOf):
        found = [headers_of(part) for part in condition.conditions]
        return found[0] if len(found) == 1 else frozenset().union(*found)
    return _NO_HEADERS


_NO_HEADERS: frozenset[str] = frozenset()
