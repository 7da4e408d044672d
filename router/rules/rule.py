"""A rule and its actions, compiled."""

from dataclasses import dataclass

from router.domain.deliveries import PlannedDelivery
from router.domain.events import ParsedEvent
from router.domain.ids import uuid7
from router.domain.items import Item
from router.domain.retry_policy import RetryPolicy
from router.plugins.action import Action
from router.rules.compile.respond import RespondFrom, RuleRespond
from router.rules.grouping import Grouping, key_of
from router.rules.match.conditions import Condition
from router.rules.match.for_each import ForEach
from router.rules.source import Field


@dataclass(frozen=True, slots=True)
class RuleAction:
    """One action of one rule, identified by (rule, name)."""

    rule: str
    name: str
    action: Action
    retry: RetryPolicy
    order_by: Field | None = None
    for_each: bool = False  #: its deliveries are of items
    enabled: bool = True
    digest: str = ""  #: of what the file says below its type, to tell whether two rules files define the same
    grouping: Grouping | None = None

    def plan(self, parsed: ParsedEvent, item: Item | None = None) -> PlannedDelivery:
        """The delivery of this event, or of an item of it, to this action."""
        return PlannedDelivery(
            id=uuid7(parsed.event.received_at),
            rule=self.rule,
            action=self.name,
            type=self.action.type,
            target=self.action.target.key,
            order_key=None if self.order_by is None else key_of(self.order_by, parsed, item),
            item=None if item is None else item.place,
            item_index=None if item is None else item.index,
            group=None if self.grouping is None else self.grouping.group(parsed, item),
        )

    def order_key(self, parsed: ParsedEvent, item: Item | None = None) -> str | None:
        """The order key; None without order_by, and if it can't be read."""
        return None if self.order_by is None else key_of(self.order_by, parsed, item)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the rules file."""

    name: str
    sources: frozenset[str]  #: the names of the sources that it listens to
    condition: Condition
    actions: tuple[RuleAction, ...]  #: those that are enabled
    stop: bool = False  #: if it matches, the rules below are not tried
    respond: RuleRespond | RespondFrom | None = None  #: the reply to the sender, if no rule above has matched with one
    digest: str = ""  #: of its part of the file, to tell after a reload whether it changed
    for_each: ForEach | None = None  #: it is tried for each item, and this holds its condition, in parts
    enabled: bool = True  #: False: it never matches, and deliveries that wait for it are held
    disabled_actions: tuple[RuleAction, ...] = ()  #: deliveries that wait for them are held
