"""Warns of conditions that no event can satisfy.

What several conditions that hold together say of one field is put side by side: a value that has to be two things at
once, to be missing and to be something, to be of two kinds. Only what is certain is said, and only slips that people
make: a copied line, a bound on the wrong side, a method that the source doesn't take.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from router.domain.work_budget import is_spent, spend
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.field_tests import AnyTest, Clause, EachTest, Every, Exists, NotTest, OneValue, Test
from router.rules.match.fields import PayloadField
from router.rules.match.operators import NUMERIC
from router.rules.match.operators.operand import Flags
from router.rules.match.values import decimal
from router.rules.yaml.node_path import NodePath

_TEXT, _NUMBER, _LIST, _MAPPING, _OTHER = "text", "a number", "a list", "a mapping", "true, false or null"
_ALL = frozenset({_TEXT, _NUMBER, _LIST, _MAPPING, _OTHER})
_ON_TEXT = ("prefix", "suffix", "regex", "glob", "cidr")
MAX_BRANCHES = 100  #: of an `any` that are held against what stands beside it; each costs as much as all of that

Group = tuple[Clause, ...]
"""What one and the same value has to satisfy."""

Clash = tuple[str, str]
"""The operator that can't hold, and why."""


class Subject(Protocol):
    """What a field's values may be."""

    @property
    def single(self) -> bool:
        """It has one value at the most."""
        ...

    @property
    def text_only(self) -> bool:
        """Its values are always text."""
        ...

    @property
    def decimals(self) -> bool:
        """Numeric operators read decimals in its text."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """The values of any field, of which only this is known."""

    text_only: bool
    decimals: bool
    single: bool = False


@dataclass(slots=True)
class _Said:
    """What conditions that hold together say of one field."""

    some: list[Group] = field(default_factory=list)  #: for each: there is a value that satisfies it
    every: list[Clause] = field(default_factory=list)  #: each value satisfies it, and there is one
    nots: list[Test] = field(default_factory=list)  #: tests that fail
    exists: set[bool] = field(default_factory=set)
    container: bool = False  #: something below it has to be there

    def add(self, test: Test) -> None:
        if isinstance(test, OneValue):
            self.some.append(test.clauses)
        elif isinstance(test, Exists):
            self.exists.add(test.wanted)
        elif isinstance(test, NotTest) and isinstance(test.test, Exists):
            self.exists.add(not test.test.wanted)
        elif isinstance(test, NotTest):
            self.nots.append(test.test)
        elif isinstance(test, EachTest):
            for part in test.tests:
                self.add(part)
        elif isinstance(test, Every):
            self.exists |= {True}
            self.every += _clauses(test.test)

    def groups(self, *, single: bool) -> list[Group]:
        """What one value has to satisfy; a field with one value at the most has one such group."""
        if single and (self.some or self.every):
            return [(*(clause for group in self.some for clause in group), *self.every)]
        groups = [(*group, *self.every) for group in self.some]
        return groups or ([tuple(self.every)] if self.every else [])


Facts = defaultdict[Subject, _Said]
"""By field, what is said of it."""


def warn_of_map(node_path: NodePath, tests: Sequence[Test], flags: Flags) -> None:
    """Warn when the operators of one map, each compiled, exclude each other."""
    if len(tests) == 1 and isinstance(tests[0], OneValue) and len(tests[0].clauses) == 1:
        word = tests[0].clauses[0].operator
        if word != "length" and not (word in NUMERIC and flags.text_only):
            return  # one operator, which some value satisfies
    facts: Facts = defaultdict(_Said)
    values = _Values(flags.text_only, flags.decimals)
    for test in tests:
        if isinstance(test, Every) and _contradiction(defaultdict(_Said, {values: _Said(every=_clauses(test.test))})):
            return  # it was warned of in its own place
        facts[values].add(test)
    clash = _contradiction(facts)
    if clash is not None:
        _, word, reason = clash
        _warn(node_path, word, reason)


def _clauses(test: Test) -> list[Clause]:
    return list(test.clauses) if isinstance(test, OneValue) else []


def _warn(node_path: NodePath, word: str, reason: str) -> None:
    if node_path.has(word):
        node_path.key_warn(word, f"this can't hold: {reason}")
    else:
        node_path.warn(f"this can't hold: {reason}")


def warn_of_conjunction(
    node_path: NodePath, entries: Sequence[tuple[str, Condition]], known: Sequence[Condition] = ()
) -> None:
    """Warn when the entries of a mapping, each compiled, exclude each other; `known` holds beside them."""
    if not _may_clash([condition for _, condition in entries], known):
        return
    # All at once first: entry by entry, to find the one that is too much, is work that grows with the square.
    if _reason(_facts([*known, *(condition for _, condition in entries)]), known) is not None:
        _warn_of_entry(node_path, entries, known)
        return
    _warn_of_branches(node_path, entries, known)


def _warn_of_entry(node_path: NodePath, entries: Sequence[tuple[str, Condition]], known: Sequence[Condition]) -> None:
    """Warn of the first entry that excludes those above it."""
    facts = _facts(known)
    for key, condition in entries:
        if is_spent("comparisons"):
            return
        _gather(facts, condition)
        reason = _reason(facts, known)
        if reason is not None:
            inner = condition.conditions if key == "all" and isinstance(condition, All) else [condition]
            if all(cannot_hold([part]) is None for part in inner):  # else it was warned of in its own place
                node_path.key_warn(key, reason)
            return


def _warn_of_branches(
    node_path: NodePath, entries: Sequence[tuple[str, Condition]], known: Sequence[Condition]
) -> None:
    """Warn of the branches of an `any` that exclude what stands beside it."""
    for key, condition in entries:
        if isinstance(condition, AnyOf):
            beside = [*known, *(other for _, other in entries if other is not condition)]
            for number, branch in enumerate(condition.conditions[:MAX_BRANCHES]):
                if is_spent("comparisons"):
                    return
                reason = _reason(_facts([*beside, branch]), known)
                if reason is not None and cannot_hold([branch]) is None:
                    node_path.at(key, number).warn(reason)


def cannot_hold(conditions: Iterable[Condition]) -> str | None:
    """Why no event can satisfy all of the conditions; none when one might."""
    return _reason(_facts(conditions), ())


def _facts(conditions: Iterable[Condition]) -> Facts:
    facts: Facts = defaultdict(_Said)
    for condition in conditions:
        _gather(facts, condition)
    return facts


def _reason(facts: Facts, known: Sequence[Condition]) -> str | None:
    clash = _contradiction(facts)
    if clash is None:
        return None
    subject, _, reason = clash
    for condition in known:
        if isinstance(condition, FieldCondition) and condition.field is subject:
            assert isinstance(condition.test, OneValue)
            listed = ", ".join(condition.test.clauses[0].operand)
            return f"this can't hold: {condition.field.text} is always one of {listed} here, by the rule's sources"
    name = getattr(subject, "text", "")
    return f"this can't hold with what stands beside it: {name}: {reason}"


def _may_clash(conditions: Sequence[Condition], known: Sequence[Condition]) -> bool:
    """Whether the conditions speak of one field more than once, or of others than plain fields."""
    if not all(isinstance(condition, FieldCondition) for condition in conditions):
        return True
    fields = [condition.field for condition in (*known, *conditions) if isinstance(condition, FieldCondition)]
    if len(set(fields)) < len(fields):
        return True
    paths = {f.compiled.names for f in fields if isinstance(f, PayloadField) and f.compiled.names is not None}
    return any(path[:length] in paths for path in paths for length in range(len(path)))


def _gather(facts: Facts, condition: Condition) -> None:
    if not spend("comparisons"):
        return
    if isinstance(condition, FieldCondition):
        facts[condition.field].add(condition.test)
    elif isinstance(condition, All):
        for part in condition.conditions:
            _gather(facts, part)
    elif isinstance(condition, Not):
        inner = condition.condition
        for part in inner.conditions if isinstance(inner, AnyOf) else [inner]:
            alone = _alone(part)
            if alone is not None:
                facts[alone.field].add(NotTest(alone.test))


def _alone(condition: Condition) -> FieldCondition | None:
    """The one field condition that a condition consists of."""
    while isinstance(condition, All) and len(condition.conditions) == 1:
        condition = condition.conditions[0]
    return condition if isinstance(condition, FieldCondition) else None


def _contradiction(facts: Facts) -> tuple[Subject, str, str] | None:
    """The first field that can't be what is said of it, the operator, and why; none as well when finding out would be
    more work than a load may spend on it."""
    if is_spent("comparisons") or not spend("comparisons", _work(facts)):
        return None
    _mark_containers(facts)
    for subject, said in facts.items():
        clash = _of_field(subject, said)
        if clash is not None:
            return subject, *clash
    return None


_PER_FIELD = 8  #: steps that any field takes, whatever is said of it


def _work(facts: Facts) -> int:
    """Steps that comparing all that is said takes at the most, roughly."""
    steps = 0
    for subject, said in facts.items():
        clauses = [clause for group in said.some for clause in group] + said.every
        beside = sum(map(_scan, clauses)) + sum(_scan_of_test(test) for test in said.nots)
        values = sum(len(_constants(clause)) for clause in clauses if clause.operator in ("equals", "in"))
        names = subject.compiled.names if isinstance(subject, PayloadField) else None
        steps += _PER_FIELD + (len(clauses) + values) * (len(clauses) + beside) + len(names or ()) ** 2 // 8
    return steps


def _scan(clause: Clause) -> int:
    """Steps that one look at a value takes by this clause."""
    if not isinstance(clause.operand, list) or _are_scalars(clause.operand):
        return 1
    return len(clause.operand)


def _are_scalars(values: list[Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def _scan_of_test(test: Test) -> int:
    if isinstance(test, OneValue):
        return sum(1 + (len(clause.operand) if isinstance(clause.operand, list) else 0) for clause in test.clauses)
    parts = (
        test.tests if isinstance(test, EachTest | AnyTest) else [test.test] if isinstance(test, NotTest | Every) else []
    )
    return 1 + sum(map(_scan_of_test, parts))


def _mark_containers(facts: Facts) -> None:
    """A value below `$.a` means that `$.a` is there, and a mapping."""
    by_names = {f.compiled.names: f for f in facts if isinstance(f, PayloadField) and f.compiled.names is not None}
    for names, subject in by_names.items():
        said = facts[subject]
        if said.some or said.every or True in said.exists:
            for length in range(len(names)):
                above = by_names.get(names[:length])
                if above is not None:
                    facts[above].container = True


def _of_field(subject: Subject, said: _Said) -> Clash | None:
    groups = said.groups(single=subject.single)
    if False in said.exists and (groups or said.container or True in said.exists):
        word = groups[0][0].operator if groups else "exists: true"
        needs = f"{word} needs a value" if not said.container else "something below it has to be there"
        return "exists", f"{needs} and exists: false forbids one"
    for group in groups:
        clash = _of_group(subject, group, container=said.container and subject.single)
        clash = clash or next((c for test in said.nots if (c := _of_not(group, test)) is not None), None)
        if clash is not None:
            return clash
    return None


def _of_group(subject: Subject, group: Group, *, container: bool) -> Clash | None:
    return _of_kinds(subject, group, container=container) or _of_bounds(group) or _of_text(group)


def _of_kinds(subject: Subject, group: Group, *, container: bool) -> Clash | None:
    """The kinds of value that every operator allows: there has to be one."""
    left, first = (frozenset({_TEXT}), "the field") if subject.text_only else (_ALL, "")
    if container:
        left, first = frozenset({_MAPPING}), "what stands below it"
    for clause in group:
        allowed = _kinds(clause, decimals=subject.decimals or not subject.text_only)
        if not left & allowed:
            verb = "is" if first == "the field" else "needs"
            return clause.operator, f"{clause.operator} needs {_either(allowed)} and {first} {verb} {_either(left)}"
        if allowed < left:
            left, first = left & allowed, clause.operator
    return None


def _either(kinds: Iterable[str]) -> str:
    *others, last = sorted(kinds)
    return f"{', '.join(others)} or {last}" if others else last


def _kinds(clause: Clause, *, decimals: bool) -> frozenset[str]:
    if clause.operator in ("equals", "in"):
        return frozenset(_kind(value) for value in _constants(clause))
    if clause.operator in _ON_TEXT:
        return frozenset({_TEXT})
    if clause.operator in NUMERIC:
        # A form, a header and a query write numbers as text.
        return frozenset({_NUMBER, _TEXT}) if decimals else frozenset({_NUMBER})
    if clause.operator == "contains":
        return frozenset({_TEXT, _LIST}) if isinstance(clause.operand, str) else frozenset({_LIST})
    return frozenset({_TEXT, _LIST, _MAPPING}) if clause.operator == "length" else _ALL


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, list | dict):
        return _LIST if isinstance(value, list) else _MAPPING
    return _OTHER if value is None or isinstance(value, bool) else _NUMBER


def _of_bounds(group: Group) -> Clash | None:
    clash = _crossed([(clause.operator, clause.operand) for clause in group])
    if clash is not None:
        return clash
    for clause in group:
        if clause.operator == "length" and isinstance(clause.operand, dict):
            clash = _crossed(list(clause.operand.items()))
            if clash is not None:
                return "length", clash[1]
    return None


def _crossed(bounds: Sequence[tuple[str, Any]]) -> Clash | None:
    """A lower bound that lies above an upper one."""
    for low, least in bounds:
        for high, most in bounds if low in ("gt", "gte") else ():
            closed = low == "gte" and high == "lte"
            if high in ("lt", "lte") and (least > most or (least == most and not closed)):
                return high, f"nothing is {low} {least} and {high} {most}"
    return None


def _of_text(group: Group) -> Clash | None:
    """A value that is one of a few must be one that all others allow."""
    for clause in group:
        if clause.operator not in ("equals", "in"):
            continue
        others = [c for c in group if c is not clause and not c.fallible and (c.fold or not clause.fold)]
        failing = [next((o for o in others if not _allows(o, value)), None) for value in _constants(clause)]
        if all(failing):
            other = failing[0].operator  # type: ignore[union-attr]  # `all` has just said so
            return clause.operator, f"the value fails {other} beside it"
    return None


def _constants(clause: Clause) -> list[Any]:
    return list(clause.operand) if clause.operator == "in" else [clause.operand]


def _allows(clause: Clause, value: Any) -> bool:
    if clause.test(value):
        return True
    number = decimal(value) if clause.operator in NUMERIC and isinstance(value, str) else None
    return number is not None and clause.test(number)


def _of_not(group: Group, test: Test) -> Clash | None:
    """A test that fails must not follow from what holds."""
    if isinstance(test, OneValue) and {_key(clause) for clause in test.clauses} <= {_key(clause) for clause in group}:
        return "not", f"{test.clauses[0].operator} is asked for, and excluded by not"
    if test.fallible:
        return None
    for clause in group:
        is_constant = clause.operator in ("equals", "in") and not clause.fold
        if is_constant and all(test.holds([value]) for value in _constants(clause)):
            return "not", f"not excludes the value of {clause.operator}"
    return None


def _key(clause: Clause) -> tuple[str, str, bool]:
    return clause.operator, json.dumps(clause.operand, sort_keys=True), clause.fold
