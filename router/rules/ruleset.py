"""The compiled, immutable rules: what intake and delivery look at. A Ruleset that exists is valid."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

from router.errors import EvaluationError
from router.ids import uuid7
from router.model import ParsedEvent, PlannedDelivery, RetryPolicy, RulesetText
from router.plugins import Action, TargetSpec, Verifier
from router.secrets import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Condition(Protocol):
    """A compiled condition."""

    def holds(self, parsed: ParsedEvent) -> bool:
        """Whether the event satisfies it. Raises EvaluationError when that can't be judged."""
        ...


class Field(Protocol):
    """A compiled field: `source`, `headers.X`, `$.a[*].b` …"""

    @property
    def text(self) -> str:
        """The field as it was written."""
        ...

    def values(self, parsed: ParsedEvent) -> list[Any]:
        """The values it selects, in document order; empty when it is missing. Raises EvaluationError."""
        ...


@dataclass(frozen=True, slots=True)
class Respond:
    """What a source answers instead of the usual 202 with the event's id."""

    status: int
    body: bytes
    content_type: str | None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Dedupe:
    """What makes two requests of one source copies of the same event, and for how long."""

    field: Field
    window: float  #: seconds


@dataclass(frozen=True, slots=True)
class Source:
    """An intake path plus how its senders are verified."""

    name: str
    path: str  #: absolute, for example /hooks/github
    verifier: Verifier
    methods: tuple[str, ...] = ("POST",)
    max_body: int = 25 * 1024 * 1024  #: bytes
    allow_ips: tuple[Network, ...] = ()  #: empty: every address
    dedupe: Dedupe | None = None
    json_field: str | None = None  #: form field that holds JSON
    parse: Literal["json"] | None = None  #: parse the body as JSON whatever its content type says
    respond: Respond | None = None


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
        """Canonical JSON of order_by's values; none when there are none, or they can't be read: unordered."""
        if self.order_by is None:
            return None
        try:
            values = self.order_by.values(parsed)
        except EvaluationError:
            return None
        return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode() if values else None


@dataclass(frozen=True, slots=True)
class Rule:
    """A name, a condition, actions."""

    name: str
    sources: frozenset[str]  #: names of the sources it listens to, globs already resolved
    condition: Condition
    actions: tuple[RuleAction, ...]
    stop: bool = False  #: later rules are not tried once this one matched
    digest: str = ""  #: of what the file says of it, to tell after a reload whether it changed


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rules decided for one event."""

    matched: tuple[str, ...]  #: names of the rules that matched, in file order
    deliveries: tuple[PlannedDelivery, ...]
    errors: tuple[tuple[str, str], ...] = ()  #: (rule, reason) of rules that couldn't be judged


@dataclass(frozen=True)
class Ruleset:
    """Everything one rules file says."""

    text: RulesetText
    rules: tuple[Rule, ...]
    sources: Mapping[str, Source]
    targets: Mapping[str, TargetSpec]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    unmatched: tuple[RuleAction, ...] = ()
    by_path: Mapping[str, Source] = field(init=False, repr=False)
    actions: Mapping[tuple[str, str], RuleAction] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_path", {source.path: source for source in self.sources.values()})
        every = [*self.unmatched, *(action for rule in self.rules for action in rule.actions)]
        object.__setattr__(self, "actions", {(action.rule, action.name): action for action in every})

    @property
    def hash(self) -> str:
        """Of the rules file's text."""
        return self.text.hash

    def match(self, parsed: ParsedEvent) -> tuple[list[Rule], list[tuple[str, str]]]:
        """The rules that match, in file order, and the rules that couldn't be judged with the reason."""
        matched: list[Rule] = []
        errors: list[tuple[str, str]] = []
        for rule in self.rules:
            if parsed.event.source not in rule.sources:
                continue
            try:
                holds = rule.condition.holds(parsed)
            except EvaluationError as error:
                # The whole rule is unmatched, without its stop: half a judgement must not hide later rules.
                errors.append((rule.name, str(error)))
                continue
            if holds:
                matched.append(rule)
                if rule.stop:
                    break
        return matched, errors

    def plan(self, parsed: ParsedEvent) -> Plan:
        """Match, and plan the deliveries of every rule that matched (or of `unmatched`)."""
        matched, errors = self.match(parsed)
        actions = [action for rule in matched for action in rule.actions] if matched else self.unmatched
        return Plan(
            matched=tuple(rule.name for rule in matched),
            deliveries=tuple(action.plan(parsed) for action in actions),
            errors=tuple(errors),
        )


class Current:
    """The one place where both rivers meet: holds the current Ruleset, read once per event.

    Any thread may read; only the reloader swaps. Reading and writing one attribute is atomic in CPython.
    """

    __slots__ = ("ruleset",)

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
