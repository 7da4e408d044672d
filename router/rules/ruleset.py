"""The compiled, immutable rules: what intake and delivery look at. A Ruleset that exists is valid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.domain.files.protected import ProtectedPaths
from router.domain.header_names import tells_who_calls
from router.domain.secrets import Secret
from router.plugins.target import TargetSpec
from router.rules.compile.respond import RuleRespond
from router.rules.match.conditions import Condition, Judge, headers_of
from router.rules.match.fields import HeaderField, Reads
from router.rules.match.index import Index
from router.rules.reload.file_stat import FileStat
from router.rules.rule import Rule, RuleAction
from router.rules.source import Source
from router.runtime.pacing import paced


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
    secret_files: Mapping[Path, FileStat] = field(default_factory=dict, repr=False)  #: as they were when they were read
    protected: ProtectedPaths = field(default_factory=ProtectedPaths, repr=False, compare=False)
    """What no append may write."""
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
    for number, rule in enumerate(paced(rules)):
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
