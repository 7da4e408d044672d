"""Finds the rule that came closest to matching an event, for the log. It names conditions and never values."""

import time
from dataclasses import dataclass

from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.rules.dry_run.explain import operator_of
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.fields import FieldValues
from router.rules.rule import Rule
from router.rules.ruleset import Ruleset

SECONDS = 0.005  #: time limit; with thousands of rules only the first are compared
MOST = 50  #: rules that the log at debug level lists
MAX_BODY = 256 * 1024  #: bytes; in larger events a single path may take longer than SECONDS


@dataclass(frozen=True, slots=True)
class NearestRule:
    """The rule with the most conditions that hold; the first of several."""

    rule: str
    condition: str  #: the first that fails, such as `$.ref: equals`; empty if all hold
    held: int  #: conditions that hold
    of: int  #: all conditions of the rule


def nearest_rule(ruleset: Ruleset, parsed: ParsedEvent) -> NearestRule | None:
    """The rule that came closest to matching an event that no rule matched; None if unknown."""
    if len(parsed.event.body) > MAX_BODY:
        return None
    reads = FieldValues(parsed)
    until = time.perf_counter() + SECONDS
    best: NearestRule | None = None
    for rule in ruleset.rules:
        if not rule.enabled or parsed.event.source not in rule.sources:
            continue
        found = _closeness(rule, reads)
        if found is not None and (best is None or found.held > best.held):
            best = found
        if time.perf_counter() > until:
            break
    return best


def tried(ruleset: Ruleset, parsed: ParsedEvent) -> list[NearestRule]:
    """How close the first rules of the event's source came, for the debug log."""
    reads = FieldValues(parsed)
    until = time.perf_counter() + SECONDS
    found: list[NearestRule] = []
    for rule in ruleset.rules:
        if len(found) >= MOST or len(parsed.event.body) > MAX_BODY or time.perf_counter() > until:
            break
        if rule.enabled and parsed.event.source in rule.sources:
            found.append(_closeness(rule, reads) or NearestRule(rule.name, "", 1, 1))
    return found


def _closeness(rule: Rule, reads: FieldValues) -> NearestRule | None:
    parts = rule.condition.conditions if isinstance(rule.condition, All) else (rule.condition,)
    failing = [part for part in parts if not _holds(part, reads)]
    return NearestRule(rule.name, _name(failing[0]), len(parts) - len(failing), len(parts)) if failing else None


def _holds(condition: Condition, reads: FieldValues) -> bool:
    try:
        return condition.holds(reads)
    except EvaluationError:
        return False


def _name(condition: Condition) -> str:
    if isinstance(condition, FieldCondition):
        return f"{condition.field.text}: {operator_of(condition)}"
    if isinstance(condition, Not):
        return condition.word
    return "any" if isinstance(condition, AnyOf) else "all"
