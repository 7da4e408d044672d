"""Boolean expressions over tests of fields, and how they are written as a `match`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

EXISTS: dict[str, Any] = {"exists": True}


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """A field satisfies a test of the rule language. The test fails if the field is missing."""

    field: str
    test: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Test) and repr(self) == repr(other)  # 1, 1.0 and true are three tests

    def __hash__(self) -> int:
        return hash(repr(self))

    @property
    def alternatives(self) -> list[Any]:
        """What the field may be: the entries of a list, or the test alone."""
        return self.test if isinstance(self.test, list) else [self.test]


@dataclass(frozen=True, slots=True)
class All:
    """All parts hold."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the parts holds."""

    parts: "tuple[Expression, ...]"


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold."""

    part: "Expression"


Expression = Test | All | AnyOf | Negation
ALWAYS, NEVER = All(()), AnyOf(())


def all_of(*parts: Expression) -> Expression:
    """The conjunction, simplified: a test already fails if its field is missing, so `exists` is dropped beside it."""
    flat = _flat(All, parts)
    if NEVER in flat:
        return NEVER
    tested = {part.field for part in flat if isinstance(part, Test) and part.test != EXISTS}
    kept = tuple(p for p in flat if not (isinstance(p, Test) and p.test == EXISTS and p.field in tested))
    return kept[0] if len(kept) == 1 else All(kept)


def any_of(*parts: Expression) -> Expression:
    """The disjunction, simplified: tests of one field become one list."""
    flat = _flat(AnyOf, parts)
    if ALWAYS in flat:
        return ALWAYS
    tests: dict[str, list[Test]] = {}
    for part in flat:
        if isinstance(part, Test):
            tests.setdefault(part.field, []).append(part)
    others = [part for part in flat if not isinstance(part, Test)]
    joined = (*map(_one_test, tests.values()), *others)
    return joined[0] if len(joined) == 1 else AnyOf(joined)


def _one_test(tests: list[Test]) -> Test:
    """One test that holds when one of these tests of the same field does."""
    field = tests[0].field
    if len(tests) == 1 or Test(field, EXISTS) in tests:
        return tests[0] if len(tests) == 1 else Test(field, EXISTS)
    return Test(field, [alternative for test in tests for alternative in test.alternatives])


def negated(part: Expression) -> Expression:
    """The opposite, simplified."""
    if isinstance(part, Negation):
        return part.part
    if part in (ALWAYS, NEVER):
        return NEVER if part == ALWAYS else ALWAYS
    return Negation(part)


def _flat(kind: type[All] | type[AnyOf], parts: Iterable[Expression]) -> tuple[Expression, ...]:
    found: list[Expression] = []
    for part in parts:
        found += part.parts if isinstance(part, kind) else (part,)
    return tuple(dict.fromkeys(found))


def as_match(expression: Expression) -> dict[str, Any]:
    """The mapping that `match` takes. ALWAYS is an empty mapping; NEVER can't be written."""
    parts = expression.parts if isinstance(expression, All) else (expression,)
    entries: dict[str, Any] = {}
    further: list[dict[str, Any]] = []
    for key, value in map(_entry, parts):
        if key not in entries:
            entries[key] = value
        elif merged := _merged(entries[key], value):
            entries[key] = merged
        else:
            further.append({key: value})
    if "all" in entries:
        further = [*entries.pop("all"), *further]
    return {**entries, "all": further} if further else entries


def _entry(part: Expression) -> tuple[str, Any]:
    if isinstance(part, Test):
        return part.field, part.test
    if isinstance(part, All):
        return "all", [as_match(inner) for inner in part.parts]
    if isinstance(part, AnyOf):
        return "any", [as_match(inner) for inner in part.parts]
    if isinstance(part.part, Test):
        is_presence = part.part.test == EXISTS
        return part.part.field, {"exists": False} if is_presence else {"not": part.part.test}
    inner = part.part
    return "none", [as_match(one) for one in inner.parts] if isinstance(inner, AnyOf) else [as_match(inner)]


def _merged(one: Any, other: Any) -> dict[str, Any] | None:
    """`exists: true` and `not: …` of one field in one mapping."""
    pair = [one, other]
    for at, presence in enumerate(pair):
        opposite = pair[1 - at]
        if presence == EXISTS and isinstance(opposite, dict) and set(opposite) == {"not"}:
            return {**EXISTS, **opposite}
    return None
