"""The operator `elem`: a condition on one element of a list, in which `$` is the element."""

from router.domain.events import Event, ParsedEvent
from router.rules.match.conditions import All, Condition, FieldCondition, Judge
from router.rules.match.field_tests import Every, OneValue
from router.rules.match.fields import PayloadField, Reads
from router.rules.match.jsonpath import count_item
from router.rules.match.judges import infallible_first
from router.rules.match.operators.operand import Predicate

_NO_EVENT = Event("", "", "", "", "", (), b"", "", 0)  # the conditions of `elem` read the element only


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
