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
    for_each: bool = False  #: each of its deliveries is about an item
    enabled: bool = True
    digest: str = ""  #: of the action's part of the file, to tell whether two rules files define the same action
    grouping: Grouping | None = None

    def plan(self, parsed: ParsedEvent, item: Item | None = None) -> PlannedDelivery:
        """The delivery of this event, or of one of its items, to this action."""
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


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the rules file."""

    name: str
    sources: frozenset[str]  #: the names of the sources that it listens to
    condition: Condition
    actions: tuple[RuleAction, ...]  #: those that are enabled
    stop: bool = False  #: if it matches, the rules below are not tried
    respond: RuleRespond | RespondFrom | None = None  #: the reply to the sender, unless a rule above it gives one
    digest: str = ""  #: of its part of the file, to tell after a reload whether it changed
    for_each: ForEach | None = None  #: the rule is tried for each item; this holds the two parts of its condition
    enabled: bool = True  #: False: it never matches, and its waiting deliveries are held
    disabled_actions: tuple[RuleAction, ...] = ()  #: their waiting deliveries are held
