"""The rule that came closest to matching an event, for the log: by its conditions' names, never by values."""

import time
from dataclasses import dataclass

from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.rules.dry_run.explain import operator_of
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.fields import FieldValues
from router.rules.rule import Rule
from router.rules.ruleset import Ruleset

SECONDS = 0.005  #: of looking at rules; the first of a file with thousands have to do
MOST = 50  #: rules that a log at debug level tells of
MAX_BODY = 256 * 1024  #: bytes of an event that is worth it: in a larger one a single path may take longer than that


@dataclass(frozen=True, slots=True)
class NearestRule:
    """The rule with the most conditions that hold, the first of several."""

    rule: str
    condition: str  #: the first that fails: field and operator, such as `$.ref: equals`; empty: all hold
    held: int  #: conditions that hold
    of: int  #: conditions that the rule has


def nearest_rule(ruleset: Ruleset, parsed: ParsedEvent) -> NearestRule | None:
    """The rule that came closest to matching an event that no rule matched; none when there is none to tell."""
    if len(parsed.event.body) > MAX_BODY:
        return None
    reads = FieldValues(parsed)
    until = time.perf_counter() + SECONDS
    best: NearestRule | None = None
    for rule in ruleset.rules:
        if parsed.event.source not in rule.sources:
            continue
        found = _judged(rule, reads)
        if found is not None and (best is None or found.held > best.held):
            best = found
        if time.perf_counter() > until:
            break
    return best


def tried(ruleset: Ruleset, parsed: ParsedEvent) -> list[NearestRule]:
    """What each of the first rules of the event's source made of it, for a log at debug level."""
    reads = FieldValues(parsed)
    until = time.perf_counter() + SECONDS
    found: list[NearestRule] = []
    for rule in ruleset.rules:
        if len(found) >= MOST or len(parsed.event.body) > MAX_BODY or time.perf_counter() > until:
            break
        if parsed.event.source in rule.sources:
            found.append(_judged(rule, reads) or NearestRule(rule.name, "", 1, 1))
    return found


def _judged(rule: Rule, reads: FieldValues) -> NearestRule | None:
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
