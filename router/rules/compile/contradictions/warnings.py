"""Warns, at the place in the file, of conditions that no event can satisfy."""

from collections import defaultdict
from collections.abc import Sequence

from router.domain.work_budget import is_spent
from router.rules.compile.contradictions.constraints import (
    Constraints,
    FieldConstraints,
    ValuesOfField,
    add_constraints,
    clauses_of,
    constraints_of,
)
from router.rules.compile.contradictions.search import cannot_hold, contradiction, needs_search, reason_of
from router.rules.match.conditions import All, AnyOf, Condition
from router.rules.match.field_tests import Every, OneValue, Test
from router.rules.match.operators import ORDERED
from router.rules.match.operators.operand import Flags
from router.rules.yaml.node_path import NodePath

MAX_BRANCHES = 100  #: of an `any` that are compared with the conditions beside it


def warn_of_map(node_path: NodePath, tests: Sequence[Test], flags: Flags) -> None:
    """Warn if the operators of one map, given compiled, exclude each other."""
    if _is_one_operator(tests, flags):
        return
    constraints: Constraints = defaultdict(FieldConstraints)
    values = ValuesOfField(flags.text_only, flags.decimals)
    for test in tests:
        if isinstance(test, Every):
            every = FieldConstraints(every=clauses_of(test.test))
            if contradiction(defaultdict(FieldConstraints, {values: every})):
                return  # the map of `every` has its warning
        constraints[values].add(test)
    found = contradiction(constraints)
    if found is None:
        return
    message = f"this can't hold: {found.reason}"
    if node_path.has(found.operator):
        node_path.key_warn(found.operator, message)
    else:
        node_path.warn(message)


def _is_one_operator(tests: Sequence[Test], flags: Flags) -> bool:
    """Whether there is only one operator, and some value satisfies it."""
    if not (len(tests) == 1 and isinstance(tests[0], OneValue) and len(tests[0].clauses) == 1):
        return False
    operator = tests[0].clauses[0].operator
    return operator not in ("length", "age") and not (operator in ORDERED and flags.text_only)


def warn_of_conjunction(
    node_path: NodePath, entries: Sequence[tuple[str, Condition]], known: Sequence[Condition] = ()
) -> None:
    """Warn if the entries of a mapping exclude each other, or the conditions that are `known` to hold."""
    if not needs_search([condition for _, condition in entries], known):
        return
    # All entries together first: the search entry by entry takes time that grows with the square of their number.
    if reason_of(constraints_of([*known, *(condition for _, condition in entries)]), known) is not None:
        _warn_of_entry(node_path, entries, known)
    else:
        _warn_of_branches(node_path, entries, known)


def _warn_of_entry(node_path: NodePath, entries: Sequence[tuple[str, Condition]], known: Sequence[Condition]) -> None:
    """Warn of the first entry that excludes those above it."""
    constraints = constraints_of(known)
    for key, condition in entries:
        if is_spent("comparisons"):
            return
        add_constraints(constraints, condition)
        reason = reason_of(constraints, known)
        if reason is not None:
            parts = condition.conditions if key == "all" and isinstance(condition, All) else [condition]
            if all(cannot_hold([part]) is None for part in parts):  # otherwise the part has its own warning
                node_path.key_warn(key, reason)
            return


def _warn_of_branches(
    node_path: NodePath, entries: Sequence[tuple[str, Condition]], known: Sequence[Condition]
) -> None:
    """Warn of the branches of an `any` that exclude the conditions beside it."""
    for key, condition in entries:
        if not isinstance(condition, AnyOf):
            continue
        beside = [*known, *(other for _, other in entries if other is not condition)]
        for number, branch in enumerate(condition.conditions[:MAX_BRANCHES]):
            if is_spent("comparisons"):
                return
            reason = reason_of(constraints_of([*beside, branch]), known)
            if reason is not None and cannot_hold([branch]) is None:
                node_path.at(key, number).warn(reason)
