"""The file of an append, and the guard that protects other files from it."""

from dataclasses import dataclass
from pathlib import Path

from router.domain.files.protected import ProtectedPaths


@dataclass(frozen=True, slots=True)
class Guard:
    """The protected files. No append may write to them."""

    paths: ProtectedPaths
    templated: bool  #: the path contains sender's text


@dataclass(frozen=True, slots=True)
class OutputFile:
    """Where a line is written."""

    base: Path  #: the folder that the rules file names
    folders: tuple[str, ...]  #: below the base
    name: str
    follow_symlinks: bool  #: whether the operator's symlinks below the base are followed
    guard: Guard

    @property
    def path(self) -> str:
        """The whole path."""
        return str(self.base.joinpath(*self.folders, self.name))
