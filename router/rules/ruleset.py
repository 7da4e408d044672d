"""The compiled, immutable rules: what intake and delivery look at. A Ruleset that exists is valid."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from router.errors import EvaluationError
from router.headers import tells_who_calls
from router.ids import uuid7
from router.model import ParsedEvent, PlannedDelivery, Reply, RetryPolicy, RulesetText
from router.networks import Network
from router.plugins import Action, Handshake, TargetSpec, Verifier
from router.rules.collecting import unhurried
from router.rules.conditions import Condition, Judge, headers_of
from router.rules.fields import HeaderField, Reads
from router.rules.index import Index
from router.rules.respond import RuleRespond
from router.rules.sight import Sight
from router.secrets import Secret

LONGEST_KEY = 1024  #: bytes of an order key that is kept as it is; it is stored, and looked up, with every delivery


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
    scheme: str = "none"  #: the name of how its senders are verified
    headers: frozenset[str] = frozenset()  #: globs of those that the scheme's provider sends, in lower case
    methods: tuple[str, ...] = ("POST",)
    max_body: int = 25 * 1024 * 1024  #: bytes
    allow_ips: tuple[Network, ...] = ()  #: empty: every address
    dedupe: Dedupe | None = None
    json_field: str | None = None  #: form field that holds JSON
    parse: Literal["json", "form", "text"] | None = None  #: what every body is, whatever its content type says
    respond: Reply | None = None
    handshake: Handshake | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  #: in force, for people; secrets by name


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


class Match(NamedTuple):
    """What the rules say of one event."""

    rules: tuple[Rule, ...]  #: that match, in file order
    errors: tuple[tuple[str, str], ...] = ()  #: (rule, reason) of rules that couldn't be judged


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rules decided for one event."""

    matched: tuple[str, ...]  #: names of the rules that matched, in file order
    deliveries: tuple[PlannedDelivery, ...]
    errors: tuple[tuple[str, str], ...] = ()  #: (rule, reason) of rules that couldn't be judged
    respond: RuleRespond | None = None  #: what answers the sender instead of the source


@dataclass(frozen=True)
class Ruleset:
    """Everything one rules file says."""

    text: RulesetText
    rules: tuple[Rule, ...]
    sources: Mapping[str, Source]
    targets: Mapping[str, TargetSpec]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    unmatched: tuple[RuleAction, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict, repr=False)  #: what is no rule, by name, with a digest
    held: Mapping[str, Secret] = field(
        default_factory=dict, repr=False
    )  #: every secret it uses, by where it comes from
    secret_files: Mapping[Path, Sight] = field(default_factory=dict, repr=False)  #: as they were when they were read
    by_path: Mapping[str, Source] = field(init=False, repr=False)
    actions: Mapping[tuple[str, str], RuleAction] = field(init=False, repr=False)
    judges: Sequence[Judge] = field(init=False, repr=False)  #: the rules' conditions, close together in memory
    indexes: Mapping[str, Sequence[Index]] = field(init=False, repr=False)  #: by source
    passing: Mapping[str, frozenset[str]] = field(init=False, repr=False)
    """By source, globs of its senders' headers that forwards pass on, beside those that are always harmless."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_path", {source.path: source for source in self.sources.values()})
        every = [*self.unmatched, *(action for rule in self.rules for action in rule.actions)]
        object.__setattr__(self, "actions", {(action.rule, action.name): action for action in every})
        object.__setattr__(self, "judges", tuple(rule.condition.holds for rule in self.rules))
        object.__setattr__(self, "indexes", _indexes(self.rules))
        object.__setattr__(self, "passing", _passing(self.sources, self.rules))

    def parts(self) -> list[Any]:
        """Its largest pieces, to be let go of one by one."""
        return [*self.indexes.values(), *self.judges, *self.actions.values(), *self.rules]

    @property
    def hash(self) -> str:
        """Of the rules file's text."""
        return self.text.hash

    def match(self, parsed: ParsedEvent) -> "Match":
        """The rules that match, in file order, and those that couldn't be judged."""
        reads = Reads(parsed)
        return self._judge(self.candidates(reads), reads)

    def candidates(self, reads: Reads) -> Sequence[int]:
        """The numbers of the rules that may match the event or fail on it, in file order."""
        groups = self.indexes.get(reads.parsed.event.source, ())
        found: list[int] = []
        residual: Sequence[int] = ()
        for index in groups:
            found += index.candidates(reads)
            if index.residual:
                residual = [*residual, *index.residual] if residual else index.residual
        if not found and len(groups) <= 1:
            return residual
        return sorted({*found, *residual}) if len(found) + len(residual) > 1 else found or residual

    def _judge(self, numbers: Iterable[int], reads: Reads) -> "Match":
        matched: list[Rule] = []
        errors: list[tuple[str, str]] = []
        rules, judges = self.rules, self.judges
        for number in numbers:
            try:
                if not judges[number](reads):
                    continue
            except EvaluationError as error:
                # The whole rule is unmatched, without its stop: half a judgement must not hide later rules.
                errors.append((rules[number].name, str(error)))
                continue
            matched.append(rules[number])
            if rules[number].stop:
                break
        return Match(tuple(matched), tuple(errors))

    def plan(self, parsed: ParsedEvent) -> Plan:
        """Match, and plan the deliveries of every rule that matched (or of `unmatched`)."""
        match = self.match(parsed)
        return Plan(
            matched=tuple(rule.name for rule in match.rules),
            deliveries=tuple(action.plan(parsed) for action in self.actions_of(match)),
            errors=match.errors,
            respond=next((rule.respond for rule in match.rules if rule.respond is not None), None),
        )

    def actions_of(self, match: "Match") -> Sequence[RuleAction]:
        """The actions of the rules that matched, or of `unmatched`."""
        return [action for rule in match.rules for action in rule.actions] if match.rules else self.unmatched


def _passing(sources: Mapping[str, Source], rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    found = {name: set(source.headers) for name, source in sources.items()}
    for name, source in sources.items():
        if source.dedupe is not None and isinstance(source.dedupe.field, HeaderField):
            found[name].add(source.dedupe.field.name)
    for rule in rules:
        matched = {name for name in headers_of(rule.condition) if not tells_who_calls(name)}
        for name in rule.sources if matched else ():
            found[name] |= matched
    return {name: frozenset(names) for name, names in found.items()}


def _indexes(rules: Sequence[Rule]) -> dict[str, list[Index]]:
    """One index for each set of sources that rules listen to, under each of those sources."""
    groups: dict[frozenset[str], list[tuple[int, Condition]]] = {}
    for number, rule in enumerate(unhurried(rules)):
        groups.setdefault(rule.sources, []).append((number, rule.condition))
    by_source: dict[str, list[Index]] = {}
    for sources, group in groups.items():
        index = Index(group)
        for source in sources:
            by_source.setdefault(source, []).append(index)
    return by_source


class Current:
    """The one place where both rivers meet: holds the current Ruleset, read once per event.

    Any thread may read; only the reloader swaps. Reading and writing one attribute is atomic in CPython.
    """

    __slots__ = ("ruleset",)

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
