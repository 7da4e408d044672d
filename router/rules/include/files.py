"""The files that an `include:` names: found, read, and hashed together with the main file."""

import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.domain.deliveries import IncludedText
from router.rules.include.entries import is_glob

MAX_FILES = 1_000  #: of one main file; each costs 2 µs at every check, four times a second
_BOM = "\N{BYTE ORDER MARK}".encode()
_CASES = ".cases.yaml"  #: rule tests often lie beside the rules


@dataclass(frozen=True, slots=True)
class IncludedFile:
    """A file that an `include:` names."""

    pattern: str
    name: str  #: its path from the folder of the main file, as the pattern writes it
    path: Path

    @property
    def folder(self) -> str:
        """The folder where its own relative paths start, with symlinks resolved."""
        return os.path.dirname(os.path.realpath(self.path))  # noqa: PTH120 - Path.resolve raises on symlinks in circles


@dataclass(frozen=True, slots=True)
class IncludedBytes:
    """An included file as it was read."""

    pattern: str
    name: str
    data: bytes
    folder: str


def find(folder: str, patterns: Iterable[str], main: Path) -> list[IncludedFile]:
    """The files that match, by pattern and by name. A file named without a glob is listed even if it is missing.

    Globs leave out dotfiles, rule tests (`*.cases.yaml`) and the main file.
    """
    found: list[IncludedFile] = []
    own = os.path.realpath(main)
    for pattern in patterns:
        if not is_glob(pattern):
            found.append(IncludedFile(pattern, pattern, Path(folder, pattern)))
            continue
        for name in sorted(glob.glob(pattern, root_dir=folder)):  # noqa: PTH207 - Path.glob matches dotfiles
            path = Path(folder, name)
            if not name.endswith(_CASES) and not path.is_dir() and os.path.realpath(path) != own:
                found.append(IncludedFile(pattern, name, path))
        if len(found) > MAX_FILES:
            break
    return found


def ruleset_hash(main: bytes | str, included: Sequence[IncludedBytes | IncludedText]) -> str:
    """The hash of a ruleset; without included files it is that of the main file's text."""
    digest = hashlib.sha256(_plain(main))
    for one in included:
        content = one.data if isinstance(one, IncludedBytes) else one.text
        for part in (one.pattern, one.name, content):
            digest.update(b"\0" + hashlib.sha256(_plain(part)).digest())
    return digest.hexdigest()


def _plain(text: bytes | str) -> bytes:
    """The text as the loader reads it: without a byte order mark."""
    return (text.encode() if isinstance(text, str) else text).removeprefix(_BOM)
