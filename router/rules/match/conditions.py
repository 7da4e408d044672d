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
from typing import Any, Protocol, TypeVar

from router.domain.events import Event, ParsedEvent
from router.rules.match.fields import AnyField, HeaderField, PayloadField, Reads
from router.rules.match.jsonpath import count_item, sharing_work
from router.rules.match.operators import Predicate

Judge = Callable[[Reads], bool]
"""Whether an event satisfies a condition. Raises EvaluationError when that can't be judged."""

ValuesJudge = Callable[[list[Any]], bool]
"""Whether a field's values pass a test. Raises EvaluationError."""

_NO_EVENT = Event("", "", "", "", "", (), b"", "", 0)  # for the conditions of `elem`, which read the element only


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


class _Fallible(Protocol):
    @property
    def fallible(self) -> bool: ...


P = TypeVar("P", bound=_Fallible)


def infallible_first(parts: Sequence[P]) -> tuple[P, ...]:
    """The order in which parts are judged."""
    return tuple(sorted(parts, key=lambda part: part.fallible))


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
            one = _every_judge([clause.test for clause in infallible_first(self.test.clauses)])
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
        object.__setattr__(self, "holds", _every_judge([test.holds for test in infallible_first(self.tests)]))


@dataclass(frozen=True, slots=True)
class AnyTest:
    """One test holds: the entries of a list."""

    tests: tuple[Test, ...]
    holds: ValuesJudge = made(init=False, compare=False, repr=False)
    fallible: bool = made(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fallible", any(test.fallible for test in self.tests))
        object.__setattr__(self, "holds", _some_judge([test.holds for test in infallible_first(self.tests)]))


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
            return _every_judge([part.holds for part in parts])
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
            return _some_judge([part.holds for part in parts])
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


T = TypeVar("T")


def _every_judge(judges: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """All of them, in order; most rules have few, and for those a loop would cost more than they do."""
    if len(judges) == 1:
        return judges[0]
    if len(judges) == 2:
        a, b = judges
        return lambda subject: a(subject) and b(subject)
    if len(judges) == 3:
        a, b, c = judges
        return lambda subject: a(subject) and b(subject) and c(subject)

    def every(subject: T) -> bool:
        for judge in judges:  # noqa: SIM110 - a generator would cost more than the loop
            if not judge(subject):
                return False
        return True

    return every


def _some_judge(judges: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    def some(subject: T) -> bool:
        for judge in judges:  # noqa: SIM110 - a generator would cost more than the loop
            if judge(subject):
                return True
        return False

    return judges[0] if len(judges) == 1 else some


def element_test(condition: Condition, *, form: bool) -> Predicate:
    """The predicate of `elem`: a whole condition, for which `$` is the element."""
    holds = _counted(condition) if condition.fallible else condition.holds
    key = _needed_key(condition)
    if key is not None:
        return lambda value: type(value) is dict and key in value and holds(Reads(ParsedEvent(_NO_EVENT, value, form)))
    return lambda value: holds(Reads(ParsedEvent(_NO_EVENT, value, form)))


def _counted(condition: Condition) -> Judge:
    holds = condition.holds

    def judge(reads: Reads) -> bool:
        count_item(judge)
        return holds(reads)

    return judge


def _needed_key(condition: Condition) -> str | None:
    """The key whose value is judged first, if so: without it a value can neither satisfy the condition nor fail."""
    first = infallible_first(condition.conditions)[:1] if isinstance(condition, All) else (condition,)
    if not first or first[0].fallible or not isinstance(first[0], FieldCondition):
        return None
    selector, test = first[0].field, first[0].test
    names = selector.compiled.names if isinstance(selector, PayloadField) else None
    return names[0] if names and isinstance(test, OneValue | Every) else None


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
