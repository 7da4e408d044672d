"""A rule and its actions, compiled."""

import hashlib
from dataclasses import dataclass

import orjson

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.ids import uuid7
from router.domain.items import Item
from router.domain.retry_policy import RetryPolicy
from router.plugins.action import Action
from router.rules.compile.respond import RuleRespond
from router.rules.match.conditions import Condition
from router.rules.match.fields import ItemField
from router.rules.match.for_each import ForEach
from router.rules.source import Field

LONGEST_KEY = 1024  #: bytes; longer order keys are stored as their hash, with every delivery


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

    def plan(self, parsed: ParsedEvent, item: Item | None = None) -> PlannedDelivery:
        """The delivery of this event, or of an item of it, to this action."""
        return PlannedDelivery(
            id=uuid7(parsed.event.received_at),
            rule=self.rule,
            action=self.name,
            type=self.action.type,
            target=self.action.target.key,
            order_key=None if self.order_by is None else self.order_key(parsed, item),
            item=None if item is None else item.place,
            item_index=None if item is None else item.index,
        )

    def order_key(self, parsed: ParsedEvent, item: Item | None = None) -> str | None:
        """Canonical JSON of order_by's values, or its hash if long; None without order_by, and if it can't be read."""
        if self.order_by is None:
            return None
        try:
            if isinstance(self.order_by, ItemField):
                values = [] if item is None else self.order_by.of(item.value)
            else:
                values = self.order_by.values(parsed)
        except EvaluationError:
            return None
        if not values:
            return None
        key = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        return key.decode() if len(key) <= LONGEST_KEY else f"sha256:{hashlib.sha256(key).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the rules file."""

    name: str
    sources: frozenset[str]  #: the names of the sources that it listens to
    condition: Condition
    actions: tuple[RuleAction, ...]  #: those that are enabled
    stop: bool = False  #: if it matches, the rules below are not tried
    respond: RuleRespond | None = None  #: the reply to the sender, if no rule above has matched with one
    digest: str = ""  #: of its part of the file, to tell after a reload whether it changed
    for_each: ForEach | None = None  #: it is tried for each item, and this holds its condition, in parts
    enabled: bool = True  #: False: it never matches, and deliveries that wait for it are held
    disabled_actions: tuple[RuleAction, ...] = ()  #: deliveries that wait for them are held
