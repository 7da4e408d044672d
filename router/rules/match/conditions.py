"""Conditions on events: a tree, compiled once from a `match` mapping.

Each node makes its function `holds` once, since rules that the index can't file are judged for every event. Parts that
never raise are judged before parts that `may_raise`, whatever their order in the file. The result is the same, and a
path that may fail is followed only if the rest of the rule holds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from functools import lru_cache
from typing import Protocol

from router.rules.match.field_tests import OneValue, Test, bound, clauses_in, reads_event
from router.rules.match.fields import AnyField, FieldValues, HeaderField
from router.rules.match.jsonpath import sharing_work
from router.rules.match.predicates import all_of, any_of, safe_first

EventPredicate = Callable[[FieldValues], bool]
"""Whether an event, given by its field values, satisfies a condition. Raises EvaluationError."""


class Condition(Protocol):
    """A compiled condition."""

    @property
    def holds(self) -> EventPredicate:
        """The condition itself."""
        ...

    @property
    def may_raise(self) -> bool:
        """Whether `holds` may raise."""
        ...


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field and the test for its values."""

    field: AnyField
    test: Test
    form_test: Test  #: the test for forms, whose values are text: numeric operators read decimals in it
    holds: EventPredicate = made(init=False, compare=False, repr=False)
    may_raise: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "may_raise", self.field.may_raise or self.test.may_raise)
        object.__setattr__(self, "holds", self._judge())

    def _judge(self) -> EventPredicate:
        judge = self._judge_alone()
        if not self.test.may_raise:
            return judge
        # An `elem` follows its paths in each value; the steps of all of them count together.
        return lambda reads: sharing_work(reads.parsed.payload, lambda: judge(reads))

    def _judge_alone(self) -> EventPredicate:
        if reads_event(self.test):
            return self._judge_by_event
        selector, strict, form = self.field, self.test.holds, self.form_test.holds
        if self.form_test is not self.test:
            return lambda reads: (form if reads.parsed.form else strict)(reads[selector])
        wanted = self.text
        if wanted is not None:
            return lambda reads: wanted in reads[selector]
        return lambda reads: strict(reads[selector])

    def _judge_by_event(self, reads: FieldValues) -> bool:
        test = self.form_test if reads.parsed.form else self.test
        return bound(test, reads).holds(reads[self.field])

    @property
    def text(self) -> str | None:
        """The text, if the test is only that a value equals this text."""
        if isinstance(self.test, OneValue) and len(self.test.clauses) == 1:
            clause = self.test.clauses[0]
            if clause.operator == "equals" and isinstance(clause.operand, str) and not clause.fold:
                return clause.operand
        return None


@dataclass(frozen=True, slots=True)
class _Combinator(ABC):
    """Several conditions, judged as one."""

    conditions: tuple[Condition, ...]
    holds: EventPredicate = made(init=False, compare=False, repr=False)
    may_raise: bool = made(init=False)

    def __post_init__(self) -> None:
        parts = safe_first(self.conditions)
        texts = _text_equalities(parts)
        holds = self._of_predicates([part.holds for part in parts]) if texts is None else self._of_texts(*texts)
        object.__setattr__(self, "may_raise", any(condition.may_raise for condition in self.conditions))
        object.__setattr__(self, "holds", holds)

    @staticmethod
    @abstractmethod
    def _of_predicates(predicates: Sequence[EventPredicate]) -> EventPredicate:
        """The combination of any conditions."""

    @staticmethod
    @abstractmethod
    def _of_texts(fields: Sequence[AnyField], wanted: Sequence[str]) -> EventPredicate:
        """The combination of conditions that each ask for one text."""


class All(_Combinator):
    """Every condition holds. An empty one always holds."""

    __slots__ = ()
    _of_predicates = staticmethod(all_of)

    @staticmethod
    def _of_texts(fields: Sequence[AnyField], wanted: Sequence[str]) -> EventPredicate:
        def every(reads: FieldValues) -> bool:
            for selector, text in zip(fields, wanted):  # noqa: B905, SIM110 - of one length, and this is the hot path
                if text not in reads[selector]:
                    return False
            return True

        return every


class AnyOf(_Combinator):
    """At least one condition holds."""

    __slots__ = ()
    _of_predicates = staticmethod(any_of)

    @staticmethod
    def _of_texts(fields: Sequence[AnyField], wanted: Sequence[str]) -> EventPredicate:
        def some(reads: FieldValues) -> bool:
            for selector, text in zip(fields, wanted):  # noqa: B905, SIM110 - of one length, and this is the hot path
                if text in reads[selector]:
                    return True
            return False

        return some


@lru_cache(maxsize=10_000)
def _shared(fields: tuple[AnyField, ...]) -> tuple[AnyField, ...]:
    """The same tuple for all rules with the same fields, to save memory."""
    return fields


def _text_equalities(parts: Sequence[Condition]) -> tuple[tuple[AnyField, ...], tuple[str, ...]] | None:
    """Fields and texts if all conditions are of the form `field: text`, the most common one; otherwise None.

    With thousands of rules, speed depends on the memory that judging touches. Two tuples need a fifth of the memory of
    one function for each condition.
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
    """The condition fails."""

    condition: Condition
    word: str = "not"  #: as in the file: `not`, or `none` for a list
    holds: EventPredicate = made(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        inner = self.condition.holds
        object.__setattr__(self, "holds", lambda reads: not inner(reads))

    @property
    def may_raise(self) -> bool:
        """Whether `holds` may raise."""
        return self.condition.may_raise


def headers_of(condition: Condition) -> frozenset[str]:
    """The names of the headers that a condition reads, in lower case."""
    if isinstance(condition, FieldCondition):
        fields = [condition.field, *(clause.other for clause in clauses_in(condition.test) if clause.other is not None)]
        names = [one.name for one in fields if isinstance(one, HeaderField)]
        return frozenset(names) if names else _NO_HEADERS
    if isinstance(condition, Not):
        return headers_of(condition.condition)
    if isinstance(condition, All | AnyOf):
        found = [headers_of(part) for part in condition.conditions]
        return found[0] if len(found) == 1 else frozenset().union(*found)
    return _NO_HEADERS


_NO_HEADERS: frozenset[str] = frozenset()
