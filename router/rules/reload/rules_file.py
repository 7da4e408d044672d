"""The rules file on disk: what it looks like, and its text."""

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.domain.errors import Problem
from router.domain.files.bounded import Unreadable, open_regular, read_all
from router.domain.files.trust import exposure
from router.rules.reload.drift import DriftReason
from router.rules.reload.file_stat import FileStat, file_stat, secret_file_stat
from router.rules.yaml.document import MAX_BYTES, TOO_LARGE

_BOM = "\N{BYTE ORDER MARK}".encode()  #: the loader drops it too
NO_FILE = "this is no regular file, and rules are read more than once; put them into a file"
_MAX_READ = MAX_BYTES + len(_BOM)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the files look like at one time; two snapshots are equal if nothing changed."""

    file: FileStat
    folder: str  #: the base of relative paths; it can change by a symlink while the file stays the same
    secrets: Mapping[Path, FileStat]
    exposed: str | None = None  #: which other users can write the file, or a folder above it


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why the file can't be read."""

    why: DriftReason
    problem: Problem


class RulesFile:
    """The rules file, known by its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = path.absolute()  # realpath fails if the working directory was removed

    def snapshot(self, secrets: Sequence[Path]) -> Snapshot:
        """Look at the file, and at the secret files that it names."""
        seen = {path: secret_file_stat(path) for path in secrets}
        return Snapshot(file_stat(self.path), self.folder(), seen, exposed_rules(self.path))

    def folder(self) -> str:
        """The folder of the file, symlinks followed."""
        return os.path.dirname(os.path.realpath(self._absolute))  # noqa: PTH120 - Path.resolve raises on symlinks in circles

    def read(self, *, guarded: bool = True) -> bytes | Unusable:
        """Its bytes, or why it can't be read. When `guarded`, a file that other users can change counts as unusable."""
        try:
            descriptor = open_regular(self.path)
            try:
                exposed = exposed_rules(self.path) if guarded else None
                if exposed is not None:
                    return self._unusable(DriftReason.WRITABLE, exposed)
                return read_all(descriptor, _MAX_READ)
            finally:
                os.close(descriptor)
        except Unreadable as error:
            if error.number == errno.EFBIG:
                return self._unusable(DriftReason.PROBLEMS, TOO_LARGE)
            return self._unusable(DriftReason.UNREADABLE, NO_FILE)
        except OSError as error:
            return self._missing(error)
        except ValueError:  # a zero byte in the name
            return self._unusable(DriftReason.UNREADABLE, "this is no name of a file")

    def problem(self, message: str) -> Problem:
        """A problem of the file as a whole."""
        return Problem(str(self.path), 1, 1, "", message)

    def _missing(self, error: OSError) -> Unusable:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return self._unusable(DriftReason.GONE, "the rules file is gone; put it back")
        reason = os.strerror(error.errno or 0)
        return self._unusable(DriftReason.UNREADABLE, f"the rules file can't be read: {reason}")

    def _unusable(self, why: DriftReason, message: str) -> Unusable:
        return Unusable(why, self.problem(message))


def digest(text: bytes) -> str:
    """The hash of a ruleset made from this text."""
    return hashlib.sha256(text.removeprefix(_BOM)).hexdigest()


def exposed_rules(path: Path) -> str | None:
    """How other users can change the rules file, or a folder above it, with the cure; None if nobody can."""
    exposed = exposure(path)
    return exposed.sentence("run commands") if exposed is not None else None
