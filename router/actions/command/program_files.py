"""Finds a command's programs and scripts."""

import os
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_SYSTEM = tuple(Path(folder) for folder in ["/bin", "/sbin", "/lib", "/lib64", "/usr", "/snap", "/nix", "/gnu"])
_OWN_BELOW_SYSTEM = Path("/usr/local")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one command."""

    base_dir: Path  #: the program is started from here
    cwd: Path  #: scripts and programs of wrappers are started from here
    commands: Path | None = None  #: the folder of --commands
    found: dict[Any, Any] = field(
        default_factory=dict, compare=False
    )  #: results of earlier looks at the disk, shared by the commands of a file

    def is_own(self, file: str) -> bool:
        """Whether a resolved file is the operator's own: below the rules file's folder or the --commands folder."""
        path = Path(file)
        if any(path.is_relative_to(folder) for folder in _SYSTEM) and not path.is_relative_to(_OWN_BELOW_SYSTEM):
            return False
        return any(path.is_relative_to(os.path.realpath(own)) for own in (self.base_dir, self.commands) if own)


def program_path(program: str, folders: Folders, *, first: bool) -> Path:
    """The path of a program; its bare name when no folder of PATH has it."""
    if "/" in program:
        return (folders.base_dir if first else folders.cwd) / program
    return Path(found_in_path(program) or program)


@cache
def found_in_path(program: str) -> str | None:
    """The path of a program in PATH."""
    return shutil.which(program) if "\0" not in program else None


def is_installed(real: str) -> bool:
    """Whether a resolved file is in a folder of the system."""
    path = Path(real)
    return any(path.is_relative_to(folder) for folder in _SYSTEM)
