"""Explains why each rule matched an event or did not, condition by condition.

Each verdict comes from the condition's own `holds`, so that the explanation always agrees with matching.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.domain import units
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.field_tests import AnyTest, EachTest, Every, Exists, NotTest, OneValue, Test
from router.rules.match.fields import FieldValues
from router.rules.match.for_each import ForEach, ItemValues
from router.rules.match.operators.age import unix_ms
from router.rules.rule import Rule
from router.rules.ruleset import Ruleset, Selection

SHOWN_VALUES = 10  #: of a field's values that are shown; the others are counted
SHOWN_CHARACTERS = 120  #: of one value

MATCHED, UNMATCHED, FAILED, NOT_TRIED = "matched", "unmatched", "error", "not tried"


@dataclass(frozen=True, slots=True)
class Explained:
    """The verdict on one condition, or on a combinator with its conditions."""

    what: str  #: the field as written, or all, any, none, not
    holds: bool | None  #: None if the evaluation failed
    reason: str  #: in words: what was found, and what the condition asks
    operator: str = ""  #: of a field: its operators, joined by commas
    operand: Any = None  #: the operand, as written
    values: tuple[Any, ...] = ()  #: of a field: its values, shortened
    found: int = 0  #: the number of values
    parts: tuple["Explained", ...] = ()  #: of a combinator

    def as_json(self) -> dict[str, Any]:
        """As `test --explain --json` shows it."""
        verdict = {True: "holds", False: "fails", None: "error"}[self.holds]
        if self.operator:
            return {
                "path": self.what, "values": list(self.values), "found": self.found, "operator": self.operator,
                "operand": self.operand, "verdict": verdict, "reason": self.reason,
            }  # fmt: skip
        return {"combinator": self.what, "verdict": verdict, "conditions": [part.as_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """The verdict on one rule."""

    rule: str
    verdict: str  #: matched, unmatched, error, or not tried (disabled, another source, or a rule above stops)
    reason: str  #: for an unmatched rule: the first condition that fails, in file order
    conditions: tuple[Explained, ...]  #: with `for_each`: those on the event, and those on `item`
    items: tuple[str, ...] | None = None  #: with `for_each`: the places of the items that it selects
    unmatched_items: int = 0  #: the number of other items
    item: str | None = None  #: the place of the item that the conditions are about

    def as_json(self) -> dict[str, Any]:
        """As `test --explain --json` shows it."""
        shown: dict[str, Any] = {
            "rule": self.rule,
            "verdict": self.verdict,
            "reason": self.reason or None,
            "conditions": [condition.as_json() for condition in self.conditions],
        }
        if self.items is not None:
            shown["items"] = {"matched": list(self.items), "unmatched": self.unmatched_items, "shown": self.item}
        return shown


def explain(ruleset: Ruleset, parsed: ParsedEvent, most: int | None = None) -> list[ExplainedRule]:
    """The verdicts on all rules, or on the first `most`, in file order."""
    reads = FieldValues(parsed)
    stopped_by = ""
    found: list[ExplainedRule] = []
    selection, matched = Selection(reads), list[Rule]()
    for rule in ruleset.rules[:most]:
        if stopped_by:
            found.append(ExplainedRule(rule.name, NOT_TRIED, f'rule "{stopped_by}" above matched and stops', ()))
            continue
        explained = explain_rule(rule, reads, selection, matched)
        found.append(explained)
        if explained.verdict == MATCHED:
            matched.append(rule)
            stopped_by = rule.name if rule.stop and rule.for_each is None else ""
    return found


def explain_rule(
    rule: Rule, reads: FieldValues, selection: Selection | None = None, matched: Sequence[Rule] = ()
) -> ExplainedRule:
    """The verdict on one rule; `selection` has the items that the `matched` rules above took."""
    if not rule.enabled:
        return ExplainedRule(rule.name, NOT_TRIED, "it is disabled (enabled: false)", ())
    source = reads.parsed.event.source
    if source not in rule.sources:
        listens = ", ".join(sorted(rule.sources))
        return ExplainedRule(
            rule.name, NOT_TRIED, f'the event came by source "{source}", the rule is for {listens}', ()
        )
    asked = rule.condition if rule.for_each is None else rule.for_each.event
    conditions = _conditions(asked, reads)
    holds, error = _verdict(lambda: asked.holds(reads))
    if holds and rule.for_each is not None:
        return _explain_items(rule, rule.for_each, reads, selection or Selection(reads), matched, conditions)
    if holds:
        return ExplainedRule(rule.name, MATCHED, "", conditions)
    if holds is None:
        return ExplainedRule(rule.name, FAILED, f"it could not be judged, so it is unmatched: {error}", conditions)
    first = next((part for part in conditions if part.holds is False), None)
    return ExplainedRule(rule.name, UNMATCHED, first.reason if first else "its conditions do not hold", conditions)


def _explain_items(
    rule: Rule,
    for_each: ForEach,
    reads: FieldValues,
    selection: Selection,
    matched: Sequence[Rule],
    conditions: tuple[Explained, ...],
) -> ExplainedRule:
    """The verdict on a rule with `for_each` whose conditions on the event hold."""
    try:
        found = selection.select(rule, for_each, matched)
        items = for_each.list_items(reads)
    except EvaluationError as error:
        return ExplainedRule(rule.name, FAILED, f"it could not be judged, so it is unmatched: {error}", conditions, ())
    chosen = found[0] if found else items[0] if items else None
    if chosen is not None and for_each.item is not None:
        conditions += _conditions(for_each.item, ItemValues(reads, chosen))
    place = chosen.place if chosen else None
    others = len(items) - len(found)
    if found:
        places = tuple(item.place for item in found)
        return ExplainedRule(rule.name, MATCHED, "", conditions, places, others, place)
    first = next((part for part in conditions if part.holds is False), None)
    reason = f"it has no items: nothing is at {for_each.items.text}"
    if items:
        why = f"; of {place}: {first.reason}" if first else ": rules above with stop took them"
        reason = f"none of its {len(items)} items fits{why}"
    return ExplainedRule(rule.name, UNMATCHED, reason, conditions, (), others, place)


def _verdict(judge: Callable[[], bool]) -> tuple[bool | None, str]:
    try:
        return judge(), ""
    except EvaluationError as error:
        return None, str(error)


def _conditions(condition: Condition, reads: FieldValues) -> tuple[Explained, ...]:
    """The entries of a `match` mapping, in file order."""
    parts = condition.conditions if isinstance(condition, All) else (condition,)
    return tuple(_explained(part, reads) for part in parts)


def _explained(condition: Condition, reads: FieldValues) -> Explained:
    if isinstance(condition, FieldCondition):
        return _field(condition, reads)
    if isinstance(condition, All) and len(condition.conditions) == 1:
        return _explained(condition.conditions[0], reads)
    holds, error = _verdict(lambda: condition.holds(reads))
    if isinstance(condition, Not):
        word, inner = condition.word, condition.condition
        listed = inner.conditions if word == "none" and isinstance(inner, AnyOf) else None
    else:
        word, inner = ("any" if isinstance(condition, AnyOf) else "all"), condition
        listed = condition.conditions if isinstance(condition, AnyOf) else None
    parts = _conditions(inner, reads) if listed is None else tuple(_explained(part, reads) for part in listed)
    return Explained(word, holds, error or _combined(word, holds, parts), parts=parts)


def _combined(word: str, holds: bool | None, parts: tuple[Explained, ...]) -> str:
    """The reason for a combinator's result: its deciding part."""
    if word == "any":
        return "one of any holds" if holds else "none of any holds: " + "; ".join(part.reason for part in parts[:3])
    if word == "all":
        failing = next((part for part in parts if not part.holds), None)
        return failing.reason if failing else "all hold"
    if word == "none":
        holding = next((part for part in parts if part.holds), None)
        return f"none must hold, but {holding.reason}" if holding else "none holds"
    return "what not: holds is false" if holds else "not: all of " + "; ".join(part.reason for part in parts[:3])


def _field(condition: FieldCondition, reads: FieldValues) -> Explained:
    text = condition.field.text
    test = condition.form_test if reads.parsed.form else condition.test
    operator, operand = _asked(test)
    holds, error = _verdict(lambda: condition.holds(reads))
    try:
        values = reads[condition.field]
    except EvaluationError:
        values = []
    shown = tuple(_shortened(value) for value in values[:SHOWN_VALUES])
    aged = _age_in_words(values, reads) if "age" in operator.split(", ") else ""
    reason = error or f"{text} {_found(shown, len(values))}{aged}; asked: {_in_words(operator, operand)}"
    return Explained(text, holds, reason, operator, operand, shown, len(values))


def _age_in_words(values: Sequence[Any], reads: FieldValues) -> str:
    """How old the first value is, if it is a time."""
    then = unix_ms(values[0], decimals=True) if values else None
    if then is None:
        return ", which is not a time with a zone" if values else ""
    seconds = (reads.parsed.event.received_at - then) / 1000
    return f", {units.shown(abs(seconds))} {'before' if seconds >= 0 else 'after'} the event"


def _in_words(operator: str, operand: Any) -> str:
    return _as_text(operand) if isinstance(operand, dict) and "," in operator else f"{operator} {_as_text(operand)}"


def _found(shown: tuple[Any, ...], count: int) -> str:
    if not count:
        return "is missing"
    if count == 1:
        return f"is {_as_text(shown[0])}"
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f"is {', '.join(_as_text(value) for value in shown[:3])}{', …' if len(shown) > 3 else ''}{more}"


def operator_of(condition: FieldCondition) -> str:
    """The operators of a field condition, joined by commas."""
    return _asked(condition.test)[0]


def _asked(test: Test) -> tuple[str, Any]:
    """Operators and operand of a test, close to how the file writes them."""
    if isinstance(test, OneValue) and len(test.clauses) == 1 and not test.clauses[0].fold:
        return test.clauses[0].operator, test.clauses[0].operand
    if isinstance(test, OneValue):
        operators = {clause.operator: clause.operand for clause in test.clauses}
        if any(clause.fold for clause in test.clauses):
            operators["ignore_case"] = True
        return ", ".join(operators), operators
    if isinstance(test, Exists):
        return "exists", test.wanted
    if isinstance(test, Every):
        return "every", _as_map(test.test)
    if isinstance(test, NotTest):
        return "not", _as_map(test.test)
    if isinstance(test, AnyTest):
        return "any of", [_as_map(part) for part in test.tests]
    if isinstance(test, EachTest):
        asked = [_asked(part) for part in test.tests]
        return ", ".join(operator for operator, _ in asked), [_as_map(part) for part in test.tests]
    raise AssertionError(f"no such test: {test!r}")


def _as_map(test: Test) -> Any:
    operator, operand = _asked(test)
    return operand if operator == "equals" or "," in operator else {operator: operand}


def _shortened(value: Any) -> Any:
    """The value, with long text and containers cut."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 1] + "…"
    if isinstance(value, list | dict):
        # Cut before serializing, so that showing a part does not cost as much as the whole.
        few: Any = value[:SHOWN_VALUES] if isinstance(value, list) else dict(list(value.items())[:SHOWN_VALUES])
        text = json.dumps(few, ensure_ascii=False, default=str)
        return value if len(text) <= SHOWN_CHARACTERS and len(few) == len(value) else text[: SHOWN_CHARACTERS - 1] + "…"
    return value


def _as_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= 2 * SHOWN_CHARACTERS else text[: 2 * SHOWN_CHARACTERS - 1] + "…"
