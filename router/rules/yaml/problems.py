"""Collects the problems of one rules file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.domain.errors import Level, Problem
from router.rules.yaml.nodes import Node

MAX_PROBLEMS = 1_000  #: of one level that are listed, some 150 kB; the others are counted
_MESSAGE = 2_000  #: characters of a message; a usual one has 100


@dataclass(slots=True)
class ProblemReport:
    """The problems of one file. Of each level the first are listed, the others counted."""

    file: str
    recorded: bool = False  #: the store recorded this text, and deliveries may wait for it
    confidential_keys: frozenset[str] = frozenset()  #: of action types; their values are not shown
    problems: list[Problem] = field(default_factory=list)
    failed: bool = False  #: whether one of the problems is an error
    folder: Path | None = None  #: that the relative paths of an included file start from; None: the main file's
    whole: "ProblemReport | None" = None  #: of the main file, which has the problems of included files too
    _known: set[Problem] = field(default_factory=set)
    _listed: Counter[Level] = field(default_factory=Counter)
    _unlisted: Counter[Level] = field(default_factory=Counter)
    _first_unlisted: dict[Level, Problem] = field(default_factory=dict)  #: the first of them

    def of_file(self, file: str, folder: Path) -> "ProblemReport":
        """The report for an included file. Its problems are listed here too."""
        return ProblemReport(file, self.recorded, self.confidential_keys, folder=folder, whole=self)

    def add(self, node: Node, path: str, message: str, level: Level = Level.ERROR) -> Problem:
        """Add a problem. Repeated ones, such as through an alias, count once."""
        return self.note(Problem(self.file, node.line, node.column, path, _cut(message), level), node)

    def note(self, problem: Problem, node: Node | None = None) -> Problem:
        """Add a problem with a known place. Without a node it is always listed."""
        if self.whole is not None:
            return self.whole.note(problem, node)
        level = problem.level
        self.failed = self.failed or level is Level.ERROR
        if problem in self._known:
            return problem
        if node is not None and self._listed[level] >= MAX_PROBLEMS:
            self._unlisted[level] += 1
            self._first_unlisted.setdefault(level, problem)
            return problem
        self._listed[level] += 1
        self._known.add(problem)
        self.problems.append(problem)
        return problem

    def sorted(self) -> list[Problem]:
        """The problems by line and column, with the number of those left out."""
        return sorted([*self.problems, *self._left_out()])

    def _left_out(self) -> Iterator[Problem]:
        for level, count in self._unlisted.items():
            at = self._first_unlisted[level]
            message = f"{count:,} more {level}s are not shown, from here on and elsewhere; fix the others first"
            yield Problem(at.file, at.line, at.column, "", message, level)


def _cut(message: str) -> str:
    return message if len(message) <= _MESSAGE else message[: _MESSAGE - 3] + "..."
