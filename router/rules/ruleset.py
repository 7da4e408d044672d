"""The compiled rules, immutable, as intake and delivery use them. A Ruleset that exists is valid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.files.protected import ProtectedPaths
from router.domain.holds import HoldKind, HoldName
from router.domain.identity_headers import tells_who_calls
from router.domain.items import Item
from router.domain.made_often import made_often
from router.domain.own_events import SOURCE, is_own
from router.domain.secrets import Secret
from router.plugins.target import TargetSpec
from router.rules.compile.respond import RespondFrom, RuleRespond
from router.rules.match.conditions import Condition, EventPredicate, headers_of
from router.rules.match.fields import FieldValues, HeaderField
from router.rules.match.for_each import MOST_DELIVERIES, ForEach
from router.rules.match.index import Index
from router.rules.own_source import OWN_SOURCE
from router.rules.path_pattern import PathPatterns
from router.rules.reload.file_stat import FileStat
from router.rules.rule import Rule, RuleAction
from router.rules.source import Source
from router.runtime.pacing import paced

_NO_ITEMS: Mapping[str, Sequence[Item]] = MappingProxyType({})


class Match(NamedTuple):
    """The rules that match one event."""

    rules: tuple[Rule, ...]  #: in file order
    errors: tuple[tuple[str, str], ...] = ()  #: (rule, reason) of rules whose evaluation failed
    items: Mapping[str, Sequence[Item]] = _NO_ITEMS  #: of matched rules with `for_each`, by name
    own: bool = False  #: it is an event of the router itself, to which `unmatched` does not apply


@made_often
@dataclass(frozen=True, slots=True)
class Plan:
    """The matched rules of one event, and its deliveries."""

    matched: tuple[str, ...]  #: names of the rules that matched, in file order
    deliveries: tuple[PlannedDelivery, ...]
    errors: tuple[tuple[str, str], ...] = ()  #: (rule, reason) of rules whose evaluation failed
    respond: RuleRespond | RespondFrom | None = None  #: replies to the sender instead of the source


@dataclass(frozen=True)
class Ruleset:
    """The content of one rules file."""

    text: RulesetText
    rules: tuple[Rule, ...]  #: in file order, with those that are disabled
    sources: Mapping[str, Source]
    targets: Mapping[str, TargetSpec]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    unmatched: tuple[RuleAction, ...] = ()  #: those that are enabled
    disabled_unmatched: tuple[RuleAction, ...] = field(default=(), kw_only=True)
    sections: Mapping[str, str] = field(default_factory=dict, repr=False)  #: digests of the other parts, by name
    used_secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False)  #: by where they come from
    sent_secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False, kw_only=True)
    """Secrets of actions and targets besides the declared ones, by any name."""
    secret_files: Mapping[Path, FileStat] = field(default_factory=dict, repr=False)  #: as they were when they were read
    protected: ProtectedPaths = field(default_factory=ProtectedPaths, repr=False, compare=False)
    """Files that no append may write."""
    by_path: Mapping[str, Source] = field(init=False, repr=False)  #: those with constant paths; see `source_at`
    patterns: PathPatterns = field(init=False, repr=False)
    actions: Mapping[tuple[str, str], RuleAction] = field(init=False, repr=False)
    predicates: Sequence[EventPredicate] = field(init=False, repr=False)  #: of the rules, close together in memory
    indexes: Mapping[str, Sequence[Index]] = field(init=False, repr=False)  #: by source
    passing: Mapping[str, frozenset[str]] = field(init=False, repr=False)
    """By source, globs of headers that forwards pass on, besides those that always pass."""

    def __post_init__(self) -> None:
        constant = {
            source.path: source for source in self.sources.values() if source.pattern is None and source.poll is None
        }
        object.__setattr__(self, "by_path", constant)
        object.__setattr__(self, "patterns", PathPatterns(self.sources.values()))
        every = [*self.unmatched, *(action for rule in self.rules if rule.enabled for action in rule.actions)]
        object.__setattr__(self, "actions", {(action.rule, action.name): action for action in every})
        object.__setattr__(self, "predicates", tuple(map(_predicate, self.rules)))
        object.__setattr__(self, "indexes", _indexes(self.rules))
        object.__setattr__(self, "passing", _passed_headers(self.sources, self.rules))

    def parts(self) -> list[Any]:
        """Its largest parts, so that the caller can free them one by one."""
        return [*self.indexes.values(), *self.predicates, *self.actions.values(), *self.rules]

    @property
    def hash(self) -> str:
        """The hash of the rules file's text."""
        return self.text.hash

    def source_at(self, path: str) -> Source | None:
        """The source that receives at a decoded path."""
        return self.by_path.get(path) or self.patterns.find(path)

    def match(self, parsed: ParsedEvent) -> "Match":
        """The rules that match, in file order, and those whose evaluation failed."""
        if parsed.event.source == SOURCE and is_own(parsed.event):
            return self._own_match(parsed)
        reads = FieldValues(parsed)
        return self._evaluate(self.candidates(reads), reads)

    def _own_match(self, parsed: ParsedEvent) -> "Match":
        """The rules that match an event of the router itself; none when the file has a source of this name."""
        if not self.hears_itself:
            return Match((), own=True)
        reads = FieldValues(parsed)
        return self._evaluate(self.candidates(reads), reads)._replace(own=True)

    @cached_property
    def keeps(self) -> Mapping[str, float]:
        """How many seconds the events of a source are kept, for sources that set it."""
        return {name: source.keep for name, source in self.sources.items() if source.keep is not None}

    @property
    def hears_itself(self) -> bool:
        """Whether a rule listens to the router's own events."""
        return SOURCE in self.indexes and SOURCE not in self.sources

    def source(self, name: str) -> Source | None:
        """A source of the file, or that of the router's own events."""
        return self.sources.get(name) or (OWN_SOURCE if name == SOURCE else None)

    def candidates(self, reads: FieldValues) -> Sequence[int]:
        """The numbers of the rules that may match the event, or raise for it, in file order."""
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

    def _evaluate(self, numbers: Iterable[int], reads: FieldValues) -> "Match":
        matched: list[Rule] = []
        errors: list[tuple[str, str]] = []
        rules, predicates = self.rules, self.predicates
        selection: Selection | None = None
        for number in numbers:
            try:
                if not predicates[number](reads):
                    continue
                rule = rules[number]
                if rule.for_each is not None:
                    selection = selection or Selection(reads)
                    if not selection.select(rule, rule.for_each, matched):
                        continue
            except EvaluationError as error:
                # The rule counts as unmatched, and its stop is ignored: a failed evaluation must not hide later rules.
                errors.append((rules[number].name, str(error)))
                continue
            matched.append(rule)
            if rule.stop and rule.for_each is None:
                break
        if selection is None:
            return Match(tuple(matched), tuple(errors))
        return Match(tuple(matched), tuple(errors), selection.items)

    def plan(self, parsed: ParsedEvent) -> Plan:
        """Match the event, and plan the deliveries of the matched rules, or of `unmatched`."""
        match = self.match(parsed)
        responds = [rule.respond for rule in match.rules if rule.respond is not None]
        return Plan(
            matched=tuple([rule.name for rule in match.rules]),
            deliveries=tuple(
                [action.plan(parsed, item) for action, item in self.planned(match)]
                if match.items
                else [action.plan(parsed) for action in self.actions_of(match)]
            ),
            errors=match.errors,
            respond=responds[0] if responds else None,
        )

    @cached_property
    def holds(self) -> frozenset[HoldName]:
        """What the file holds: paused targets, disabled rules and actions."""
        off = [action for rule in self.rules for action in rule.disabled_actions]
        return frozenset(
            [
                *((HoldKind.TARGET, name) for name, target in self.targets.items() if target.paused),
                *((HoldKind.RULE, rule.name) for rule in self.rules if not rule.enabled),
                *((HoldKind.ACTION, f"{action.rule}/{action.name}") for action in [*off, *self.disabled_unmatched]),
            ]
        )

    def actions_of(self, match: "Match") -> Sequence[RuleAction]:
        """The actions of the matched rules, none of which has `for_each`, or of `unmatched`."""
        if match.own or match.rules:
            return [action for rule in match.rules for action in rule.actions]
        return self.unmatched

    def planned(self, match: "Match") -> Sequence[tuple[RuleAction, Item | None]]:
        """The actions of the matched rules, each with its item if the rule has `for_each`; or those of `unmatched`."""
        if not match.items:
            return [(action, None) for action in self.actions_of(match)]
        found: list[tuple[RuleAction, Item | None]] = []
        for rule in match.rules:
            items = (None,) if rule.for_each is None else match.items[rule.name]
            found += [(action, item) for item in items for action in rule.actions]
        return found


class Selection:
    """The items that the rules with `for_each` select in one event, rule by rule in file order."""

    def __init__(self, reads: FieldValues) -> None:
        self.items: dict[str, Sequence[Item]] = {}  #: by rule
        self._reads = reads
        self._planned = 0  #: deliveries of the rules matched so far
        self._counted = 0  #: of the matched rules, how many are in `_planned`
        self._hidden: set[str] = set()  #: places of items that a rule with `stop` has taken

    def select(self, rule: Rule, for_each: ForEach, matched: Sequence[Rule]) -> Sequence[Item]:
        """The items of the next rule, whose condition on the event holds. Raises EvaluationError."""
        found = for_each.select(self._reads, self._hidden)
        if not found:
            return found
        self._planned += sum(len(one.actions) for one in matched[self._counted :] if one.for_each is None)
        self._counted = len(matched)
        more = len(found) * len(rule.actions)
        if self._planned + more > MOST_DELIVERIES:
            raise EvaluationError(f"the event would have more than {MOST_DELIVERIES:,} deliveries")
        self._planned += more
        self.items[rule.name] = found
        if rule.stop:
            self._hidden.update(item.place for item in found)
        return found


def _predicate(rule: Rule) -> EventPredicate:
    """The predicate for the event: the rule's condition, or the part of it about the event with `for_each`."""
    return rule.condition.holds if rule.for_each is None else rule.for_each.event.holds


def _passed_headers(sources: Mapping[str, Source], rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    found = {name: set(source.headers) for name, source in sources.items()}
    for name, source in sources.items():
        if source.dedupe is not None and isinstance(source.dedupe.field, HeaderField):
            found[name].add(source.dedupe.field.name)
    for rule in rules:
        if not rule.enabled:
            continue
        matched = {name for name in headers_of(rule.condition) if not tells_who_calls(name)}
        for name in rule.sources & found.keys() if matched else ():
            found[name] |= matched
    return {name: frozenset(names) for name, names in found.items()}


def _indexes(rules: Sequence[Rule]) -> dict[str, list[Index]]:
    """The indexes of each source: rules with the same set of sources share one."""
    groups: dict[frozenset[str], list[tuple[int, Condition]]] = {}
    for number, rule in enumerate(paced(rules)):
        if not rule.enabled:
            continue
        groups.setdefault(rule.sources, []).append(
            (number, rule.condition if rule.for_each is None else rule.for_each.indexed)
        )
    by_source: dict[str, list[Index]] = {}
    for sources, group in groups.items():
        index = Index(group)
        for source in sources:
            by_source.setdefault(source, []).append(index)
    return by_source


class CurrentRuleset:
    """Holds the running Ruleset; intake and delivery read it once for each event.

    Any thread may read; only the reloader swaps. Reading and writing one attribute is atomic in CPython.
    """

    __slots__ = ("ruleset",)

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
