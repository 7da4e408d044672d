"""Finds the first field whose constraints contradict each other."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from router.domain.work_budget import is_spent, spend
from router.rules.compile.contradictions.constraints import Constraints, Subject, constraints_of, mark_containers
from router.rules.compile.contradictions.effort import effort
from router.rules.compile.contradictions.one_field import contradiction_of_field
from router.rules.match.conditions import Condition, FieldCondition
from router.rules.match.field_tests import OneValue
from router.rules.match.fields import PayloadField


class Contradiction(NamedTuple):
    """A field for which no value satisfies every constraint."""

    subject: Subject
    operator: str  #: the operator that can't hold
    reason: str


def contradiction(constraints: Constraints) -> Contradiction | None:
    """The first contradiction; None without one, and when the search would cost more than the load's budget."""
    if is_spent("comparisons") or not spend("comparisons", effort(constraints)):
        return None
    mark_containers(constraints)
    for subject, of_field in constraints.items():
        found = contradiction_of_field(subject, of_field)
        if found is not None:
            return Contradiction(subject, *found)
    return None


def cannot_hold(conditions: Iterable[Condition]) -> str | None:
    """Why no event can satisfy all of the conditions; None if some event might."""
    return reason_of(constraints_of(conditions), ())


def reason_of(constraints: Constraints, known: Sequence[Condition]) -> str | None:
    """The first contradiction as a message. `known` are conditions that come from the rule's sources."""
    found = contradiction(constraints)
    if found is None:
        return None
    for condition in known:
        if isinstance(condition, FieldCondition) and condition.field is found.subject:
            assert isinstance(condition.test, OneValue)
            listed = ", ".join(condition.test.clauses[0].operand)
            return f"this can't hold: {condition.field.text} is always one of {listed} here, by the rule's sources"
    name = getattr(found.subject, "text", "")
    return f"this can't hold together with the conditions beside it: {name}: {found.reason}"


def needs_search(conditions: Sequence[Condition], known: Sequence[Condition]) -> bool:
    """False for different plain fields: they can't contradict each other. Most mappings hold only such."""
    if not all(isinstance(condition, FieldCondition) for condition in conditions):
        return True
    fields = [condition.field for condition in (*known, *conditions) if isinstance(condition, FieldCondition)]
    if len(set(fields)) < len(fields):
        return True
    paths = {f.compiled.names for f in fields if isinstance(f, PayloadField) and f.compiled.names is not None}
    return any(path[:length] in paths for path in paths for length in range(len(path)))
