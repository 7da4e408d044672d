"""What an intake process is told when it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from router.daemon.settings import Settings
from router.domain.deliveries import IncludedText, RulesetText
from router.domain.errors import Level, Problem

LARGE = 0  #: the number of the process that judges large requests


@dataclass(frozen=True, slots=True)
class RulesToLoad:
    """A text that the main process has compiled without an error."""

    generation: int  #: counts loads: the same text may be loaded again, when a secret has changed
    text: RulesetText
    file: str  #: its name in messages

    def encode(self) -> bytes:
        """As the body of a frame."""
        text = self.text
        included = [(one.pattern, one.name, one.text, one.base_dir) for one in text.included]
        return orjson.dumps((self.file, text.hash, text.text, text.base_dir, included))


def decode_rules(generation: int, body: bytes) -> RulesToLoad:
    """The same again."""
    file, hash_, text, base_dir, included = orjson.loads(body)
    texts = tuple(IncludedText(*one) for one in included)
    return RulesToLoad(generation, RulesetText(hash_, text, base_dir, texts), file)


def encode_problems(problems: tuple[Problem, ...]) -> bytes:
    """Why rules can't be taken."""
    rows = [(one.file, one.line, one.column, one.path, one.message, one.level.value) for one in problems]
    return orjson.dumps(rows)


def decode_problems(body: bytes) -> tuple[Problem, ...]:
    """The same again."""
    rows: list[Any] = orjson.loads(body)
    return tuple(
        Problem(file, line, column, path, message, Level(level)) for file, line, column, path, message, level in rows
    )


@dataclass(frozen=True, slots=True)
class Logging:
    """How the daemon logs."""

    level: str = "info"
    style: str = "auto"


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """One intake process."""

    number: int  #: 1 for the first, 0 for the one that judges large requests; one that replaces another has its number
    settings: Settings
    environ: dict[str, str]
    logging: Logging
    rules: RulesToLoad
    clock: bytes = b""  #: the main process's (wall_clock.py)

    @property
    def rules_path(self) -> Path:
        """The rules file."""
        return self.settings.rules
