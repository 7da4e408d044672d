"""The errors with a message for a person, and the problems of a rules file."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class RouterError(Exception):
    """Base of all errors here. Its text is a sentence for a person: what, why and the cure."""


class StartError(RouterError):
    """The daemon can't start (exit code 3)."""


class StoreError(RouterError):
    """The store can't do what was asked."""


class StoreUrlError(StartError):
    """The store's URL is wrong. The text never shows a password."""


class StoreUnusable(StoreError):
    """The store's server can't be reached, or is not as it has to be (exit code 3). Another try needs an operator."""


class StoreInUse(StoreError):
    """Another daemon owns the store."""


class StoreUnavailable(StoreError):
    """The store can't commit now: disk full, I/O error, too many writes queued. Another try may work."""


class TemplateError(RouterError):
    """A template that can't be compiled."""


class RenderError(RouterError):
    """A template that can't be rendered for this event. Another try would fail too."""


class EvaluationError(RouterError):
    """A condition that can't be evaluated for this event. Its rule does not match."""


class PayloadError(RouterError):
    """A body that doesn't parse as its content type says."""


class Level(StrEnum):
    """The severity of a problem."""

    ERROR = "error"  #: the file can't be loaded
    #: the file can be loaded, but probably doesn't do what its author meant; `check --strict` fails
    WARNING = "warning"
    NOTE = "note"  #: worth knowing, for example a secret that is unset on this machine


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a rules file: place, cause and cure in one line."""

    file: str
    line: int  #: 1 for the first line
    column: int  #: 1 for the first character
    path: str  #: the place in the document, for example `rules[2] "deploy-main".match`
    message: str
    level: Level = Level.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        level = "" if self.level is Level.ERROR else f"{self.level}: "
        return place + level + (f"{self.path}: " if self.path else "") + self.message


class RulesError(RouterError):
    """A rules file that doesn't load, with all its problems, sorted by place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
