"""Every problem of one rules file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from router.domain.errors import Level, Problem
from router.rules.yaml.document import Node

MAX_PROBLEMS = 1_000  #: of one level that are told of one by one: some 150 kB, which nobody reads to its end
_MESSAGE = 2_000  #: characters of a message; a usual one has 100


@dataclass(slots=True)
class ProblemReport:
    """The problems of one file, in the order found: of each level the first ones, and how many more there are."""

    file: str
    recorded: bool = False  #: the text is one that the store kept, for which deliveries may wait
    confidential_keys: frozenset[str] = frozenset()  #: of action types; their values are not shown
    problems: list[Problem] = field(default_factory=list)
    failed: bool = False  #: whether there is an error among the problems
    _known: set[Problem] = field(default_factory=set)
    _told: Counter[Level] = field(default_factory=Counter)
    _unsaid: Counter[Level] = field(default_factory=Counter)
    _unsaid_at: dict[Level, Node] = field(default_factory=dict)  #: where the first of these is

    def add(self, node: Node, path: str, message: str, level: Level = Level.ERROR) -> Problem:
        """Note one problem; one that is known already (an alias repeats them) counts once."""
        return self.note(Problem(self.file, node.line, node.column, path, _cut(message), level), node)

    def note(self, problem: Problem, node: Node | None = None) -> Problem:
        """The same of a problem that has its place; without a node it is told of in any case."""
        level = problem.level
        self.failed = self.failed or level is Level.ERROR
        if problem in self._known:
            return problem
        if node is not None and self._told[level] >= MAX_PROBLEMS:
            self._unsaid[level] += 1
            self._unsaid_at.setdefault(level, node)
            return problem
        self._told[level] += 1
        self._known.add(problem)
        self.problems.append(problem)
        return problem

    def sorted(self) -> list[Problem]:
        """By place, with how many were left out."""
        return sorted([*self.problems, *self._left_out()])

    def _left_out(self) -> Iterator[Problem]:
        for level, count in self._unsaid.items():
            at = self._unsaid_at[level]
            message = f"{count:,} more {level}s are not shown, from here on and elsewhere; mend the others first"
            yield Problem(self.file, at.line, at.column, "", message, level)


def _cut(message: str) -> str:
    return message if len(message) <= _MESSAGE else message[: _MESSAGE - 3] + "..."
