"""What is wrong with a YAML text, and where."""

from dataclasses import dataclass
from typing import Literal

ProblemLevel = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """An error of the YAML itself, or a warning that a value means something else than it seems."""

    line: int  #: 1 for the first line
    column: int  #: 1 for the first character
    message: str
    level: ProblemLevel = "error"


class DocumentError(Exception):
    """The text can't be read as one YAML document. It carries every problem found up to that point."""

    def __init__(self, problems: list[YamlProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Line and column, from 1, of a position in the text."""
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")
