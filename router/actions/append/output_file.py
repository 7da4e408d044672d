"""The file that an append writes, and the guard that keeps it away from protected files."""

from dataclasses import dataclass
from pathlib import Path

from router.domain.files.protected import ProtectedPaths


@dataclass(frozen=True, slots=True)
class Guard:
    """The protected files, which an append must not write."""

    paths: ProtectedPaths
    templated: bool  #: the path has text of the sender in it


@dataclass(frozen=True, slots=True)
class OutputFile:
    """Where one line goes."""

    base: Path  #: the folder that the rules file names
    folders: tuple[str, ...]  #: below the base
    name: str
    follow_symlinks: bool  #: whether the operator's symlinks below the base are followed
    guard: Guard

    @property
    def path(self) -> str:
        """The whole path."""
        return str(self.base.joinpath(*self.folders, self.name))
