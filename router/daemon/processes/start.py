"""The data that an intake process gets at its start."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from router.daemon.settings import Settings
from router.domain.deliveries import IncludedText, RulesetText
from router.domain.errors import Level, Problem

LARGE = 0  #: the number of the process for large requests


@dataclass(frozen=True, slots=True)
class RulesToLoad:
    """A rules text that the main process has compiled without an error."""

    generation: int  #: counts loads: the same text may be loaded again, when a secret has changed
    text: RulesetText
    file: str  #: its name in messages

    def encode(self) -> bytes:
        """Encode it as the body of a frame."""
        text = self.text
        included = [(one.pattern, one.name, one.text, one.base_dir) for one in text.included]
        return orjson.dumps((self.file, text.hash, text.text, text.base_dir, included))


def decode_rules(generation: int, body: bytes) -> RulesToLoad:
    """Decode it from the body of a frame."""
    file, hash_, text, base_dir, included = orjson.loads(body)
    texts = tuple(IncludedText(*one) for one in included)
    return RulesToLoad(generation, RulesetText(hash_, text, base_dir, texts), file)


def encode_problems(problems: tuple[Problem, ...]) -> bytes:
    """Encode why rules can't be used."""
    rows = [(one.file, one.line, one.column, one.path, one.message, one.level.value) for one in problems]
    return orjson.dumps(rows)


def decode_problems(body: bytes) -> tuple[Problem, ...]:
    """Decode why rules can't be used."""
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

    number: int  #: from 1; 0 for large requests; a replacement keeps the number
    settings: Settings
    environ: dict[str, str]
    logging: Logging
    rules: RulesToLoad
    clock: bytes = b""  #: the main process's (wall_clock.py)

    @property
    def rules_path(self) -> Path:
        """The rules file."""
        return self.settings.rules
