"""`for_each`: a rule that is tried for each item of a list in the payload."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from dataclasses import field as made
from functools import lru_cache
from typing import Any

from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.items import Item
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.field_tests import Exists, clauses_in
from router.rules.match.fields import AnyField, FieldValues, ItemField, field
from router.rules.match.jsonpath import FindItems, compile_items, sharing_work

MOST_ITEMS = 1_000  #: of one event, unless the rule says `most`
MOST_DELIVERIES = 10_000  #: that one event may plan


@dataclass(frozen=True, slots=True, eq=False)
class ItemList:
    """The list of a `for_each`: its values are Items. Rules with the same path share one."""

    text: str
    find: FindItems
    text_only: bool = False
    decimals: bool = False
    single: bool = False
    may_raise: bool = True

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """The items, in document order. Raises EvaluationError."""
        return list(self.find(parsed.payload, MOST_DELIVERIES))


@lru_cache(maxsize=10_000)
def item_list(text: str) -> ItemList:
    """Compile the path of a `for_each`; the same text gives the same object. Raises PathError."""
    return ItemList(text, compile_items(text))


class ItemValues(FieldValues):
    """The values of the fields for one item: those of `item`, and those of the event."""

    __slots__ = ("_event", "_value")

    def __init__(self, event: FieldValues, item: Item) -> None:
        self.parsed = event.parsed
        self.failed = None
        self._event = event
        self._value = item.value

    def __missing__(self, selector: AnyField) -> list[Any]:
        if isinstance(selector, ItemField):
            values = self[selector] = selector.of(self._value)
            return values
        return self._event[selector]


@dataclass(frozen=True, slots=True)
class ForEach:
    """What a rule with `for_each` asks of the event, and then of each item."""

    items: ItemList
    most: int
    event: Condition  #: the parts that read no item; judged once
    item: Condition | None  #: the parts that read the item; None: every item is selected
    indexed: Condition = made(init=False, repr=False, compare=False)
    """The condition that the payload must meet for some item to be selected. Used by the index."""

    def __post_init__(self) -> None:
        parts: list[Condition] = [self.event]
        if not self.event.may_raise:
            some = Exists(wanted=True)
            parts.append(FieldCondition(field(self.items.text), some, some))
            parts += [_in_payload(self.item, self.items.text)] if self.item is not None else []
        object.__setattr__(self, "indexed", All(tuple(parts)))

    def list_items(self, reads: FieldValues) -> list[Item]:
        """All items of the event. Raises EvaluationError."""
        items: list[Item] = reads[self.items]  # type: ignore[index]  # a field whose values are items
        if len(items) > self.most:
            raise EvaluationError(f"the payload has more than {self.most:,} items at {self.items.text}")
        return items

    def select(self, reads: FieldValues, hidden: Set[str]) -> list[Item]:
        """The items that fit and are not hidden, if the event fits. Raises EvaluationError."""
        items = self.list_items(reads)
        if hidden:
            items = [item for item in items if item.place not in hidden]
        if self.item is None:
            return list(items)
        holds = self.item.holds

        def fitting() -> list[Item]:
            return [item for item in items if holds(ItemValues(reads, item))]

        return sharing_work(reads.parsed.payload, fitting) if self.item.may_raise else fitting()


def for_each(items: ItemList, most: int, condition: Condition) -> ForEach:
    """Split a rule's condition into the part about the event and the part about each item."""
    parts = condition.conditions if isinstance(condition, All) else (condition,)
    of_item = tuple(part for part in parts if reads_item(part))
    of_event = tuple(part for part in parts if not reads_item(part))
    return ForEach(items, most, All(of_event), All(of_item) if of_item else None)


def reads_item(condition: Condition) -> bool:
    """Whether a condition reads a field of the item."""
    return any(isinstance(selector, ItemField) for selector in _fields(condition))


def _fields(condition: Condition) -> Iterator[AnyField]:
    if isinstance(condition, FieldCondition):
        yield condition.field
        yield from (clause.other for clause in clauses_in(condition.test) if clause.other is not None)
    elif isinstance(condition, Not):
        yield from _fields(condition.condition)
    elif isinstance(condition, All | AnyOf):
        for part in condition.conditions:
            yield from _fields(part)


def _in_payload(condition: Condition, items: str) -> Condition:
    """The condition on all items at once: it holds if it holds for any one item.

    Only the index uses it. The index reads what some value must look like, and reads nothing from a negation.
    """
    if isinstance(condition, FieldCondition) and isinstance(condition.field, ItemField):
        return FieldCondition(field(items + condition.field.below), condition.test, condition.form_test)
    if isinstance(condition, All | AnyOf):
        return type(condition)(tuple(_in_payload(part, items) for part in condition.conditions))
    return condition
