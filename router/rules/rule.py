"""A rule and its actions, compiled."""

import hashlib
from dataclasses import dataclass

import orjson

from router.domain.deliveries import PlannedDelivery
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.ids import uuid7
from router.domain.retry_policy import RetryPolicy
from router.plugins.action import Action
from router.rules.compile.respond import RuleRespond
from router.rules.match.conditions import Condition
from router.rules.source import Field

LONGEST_KEY = 1024  #: bytes of an order key that is kept as it is; it is stored, and looked up, with every delivery


@dataclass(frozen=True, slots=True)
class RuleAction:
    """One action of one rule, known as (rule, name)."""

    rule: str
    name: str
    action: Action
    retry: RetryPolicy
    order_by: Field | None = None

    def plan(self, parsed: ParsedEvent) -> PlannedDelivery:
        """The delivery of this event to this action."""
        return PlannedDelivery(
            id=uuid7(parsed.event.received_at),
            rule=self.rule,
            action=self.name,
            type=self.action.type,
            target=self.action.target.key,
            order_key=self.order_key(parsed),
        )

    def order_key(self, parsed: ParsedEvent) -> str | None:
        """Canonical JSON of order_by's values, or its hash when that is long; none: unordered, or unreadable."""
        if self.order_by is None:
            return None
        try:
            values = self.order_by.values(parsed)
        except EvaluationError:
            return None
        if not values:
            return None
        key = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        return key.decode() if len(key) <= LONGEST_KEY else f"sha256:{hashlib.sha256(key).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A name, a condition, actions."""

    name: str
    sources: frozenset[str]  #: names of the sources it listens to, globs already resolved
    condition: Condition
    actions: tuple[RuleAction, ...]
    stop: bool = False  #: later rules are not tried once this one matched
    respond: RuleRespond | None = None  #: answers the sender, of the first rule that matched and has one
    digest: str = ""  #: of what the file says of it, to tell after a reload whether it changed
