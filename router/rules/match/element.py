"""The operator `elem`: a condition on one element of a list, in which `$` is the element."""

from typing import Any

from router.domain.events import Event, ParsedEvent
from router.rules.match.conditions import All, AnyOf, Condition, EventPredicate, FieldCondition, Not
from router.rules.match.field_tests import Every, OneValue, reads_event
from router.rules.match.fields import FieldValues, PayloadField
from router.rules.match.jsonpath import count_item
from router.rules.match.operators.operand import Predicate
from router.rules.match.predicates import safe_first

_NO_EVENT = Event("", "", "", "", "", (), b"", "", 0)


def element_test(condition: Condition, *, form: bool, event: Event = _NO_EVENT) -> Predicate:
    """The predicate of `elem`: judges the condition with the element as the payload.

    Of the event itself, the condition can read only when it was received, for `age`.
    """

    def field_values(element: Any) -> FieldValues:
        return FieldValues(ParsedEvent(event, element, form))

    holds = _counted(condition) if condition.may_raise else condition.holds
    key = _required_key(condition)
    if key is not None:
        return lambda value: type(value) is dict and key in value and holds(field_values(value))
    return lambda value: holds(field_values(value))


def reads_time(condition: Condition) -> bool:
    """Whether the condition reads when the event was received."""
    if isinstance(condition, FieldCondition):
        return reads_event(condition.test)
    if isinstance(condition, Not):
        return reads_time(condition.condition)
    return isinstance(condition, All | AnyOf) and any(map(reads_time, condition.conditions))


def _counted(condition: Condition) -> EventPredicate:
    holds = condition.holds

    def judge(reads: FieldValues) -> bool:
        count_item(judge)
        return holds(reads)

    return judge


def _required_key(condition: Condition) -> str | None:
    """A key that an element needs to satisfy the condition. An element without it need not be judged."""
    first = safe_first(condition.conditions)[:1] if isinstance(condition, All) else (condition,)
    if not first or first[0].may_raise or not isinstance(first[0], FieldCondition):
        return None
    selector, test = first[0].field, first[0].test
    names = selector.compiled.names if isinstance(selector, PayloadField) else None
    return names[0] if names and isinstance(test, OneValue | Every) else None
