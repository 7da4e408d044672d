"""Tries an edited text of the running rules: shows its problems, each with its line and place. Nothing is saved."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.domain.deliveries import RulesetText
from router.domain.errors import Problem
from router.rules.compile.included import parse_document
from router.rules.compile.loader import Loaded, Loader
from router.rules.include.entries import DIRECTORY_TEXT, load_include
from router.rules.include.files import IncludedBytes
from router.rules.yaml.problems import ProblemReport

LONGEST_LINE = 160  #: characters of a line that are shown around the place of a problem
_AROUND = 1  #: lines that are shown before and after
_LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  #: line ends as YAML's parser counts them
_WORD = re.compile(r"[\w.$@/+-]+|.")


@dataclass(frozen=True, slots=True)
class RulesFileText:
    """One file of the running rules."""

    label: str  #: its name in messages
    text: str
    name: str | None  #: of an included file; None: the main file


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line of the text; with a mark, in three parts."""

    number: int
    before: str
    marked: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class PlacedProblem:
    """A problem, with the lines around its place."""

    problem: Problem
    lines: Sequence[ShownLine]  #: empty when the problem is in another file


def rules_files(running: RulesetText, rules: Path) -> list[RulesFileText]:
    """The files of the running rules, the main file first. The rules of a folder have no main file to edit."""
    of_folder = running.text == DIRECTORY_TEXT
    folder = f"{rules.name}/" if of_folder else ""
    main = [] if of_folder else [RulesFileText(rules.name, running.text, None)]
    return main + [RulesFileText(f"{folder}{one.name}", one.text, one.name) for one in running.included]


def try_text(loader: Loader, running: RulesetText, rules: Path, chosen: RulesFileText, text: str) -> Loaded:
    """Load the running rules with this text in place of one file. The other files are those that run.

    Only files that the running rules include are read: a viewer of the page could otherwise read parts of other files.
    """
    included = [
        IncludedBytes(one.pattern, one.name, (text if one.name == chosen.name else one.text).encode(), one.base_dir)
        for one in running.included
    ]
    main = text if chosen.name is None else running.text
    return loader.load(main, rules.name, Path(running.base_dir), included)


def unread_includes(running: RulesetText, chosen: RulesFileText, text: str) -> list[str]:
    """The entries of `include:` in an edited main file for which the running rules have no file."""
    if chosen.name is not None or "include" not in text:
        return []
    main = parse_document(text, ProblemReport(chosen.label))
    known = {one.pattern for one in running.included}
    return [] if main is None else [found.text for found in load_include(main) if found.text not in known]


def placed(problems: Sequence[Problem], chosen: RulesFileText, text: str) -> list[PlacedProblem]:
    """The problems, each with its lines of the edited text."""
    lines = _LINE_BREAK.split(text)
    return [PlacedProblem(one, list(_around(lines, one)) if one.file == chosen.label else ()) for one in problems]


def _around(lines: Sequence[str], problem: Problem) -> Iterator[ShownLine]:
    for number in range(max(1, problem.line - _AROUND), min(len(lines), problem.line + _AROUND) + 1):
        line = lines[number - 1]
        if number != problem.line:
            yield ShownLine(number, line[:LONGEST_LINE])
            continue
        at = min(problem.column - 1, len(line))
        begin = max(0, at - LONGEST_LINE // 2)
        word = _WORD.match(line, at)
        end = min(word.end() if word else at, at + LONGEST_LINE // 2)
        yield ShownLine(number, line[begin:at], line[at:end], line[end : begin + LONGEST_LINE])
