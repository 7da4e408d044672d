"""The rules file on the disk: what a look shows, and what it says."""

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

_MARK = "\N{BYTE ORDER MARK}".encode()  #: which the loader drops
NO_FILE = "this is no regular file, and rules are read more than once; put them into a file"
_MOST = MAX_BYTES + len(_MARK)


@dataclass(frozen=True, slots=True)
class View:
    """One look, to be compared with another."""

    file: FileStat
    folder: str  #: that paths in it start from; a symlink above may lead elsewhere while the file stays the same
    secrets: Mapping[Path, FileStat]
    exposed: str | None = None  #: who else can write the file, or a folder above it


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why the file as it is can't even be read."""

    why: DriftReason
    problem: Problem


class RulesFile:
    """One name on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = path.absolute()  # the working directory may be removed, and realpath then fails

    def look(self, secrets: Sequence[Path]) -> View:
        """Look at it, and at the secret files that belong to it."""
        seen = {path: secret_file_stat(path) for path in secrets}
        return View(file_stat(self.path), self.folder(), seen, exposed_rules(self.path))

    def folder(self) -> str:
        """The folder that the file is really in."""
        return os.path.dirname(os.path.realpath(self._absolute))  # noqa: PTH120 - Path.resolve raises on symlinks in circles

    def read(self, *, guarded: bool = True) -> bytes | Unusable:
        """Its bytes, or why there are none; when `guarded`, a file that others can change is not read."""
        try:
            descriptor = open_regular(self.path)
            try:
                exposed = exposed_rules(self.path) if guarded else None
                if exposed is not None:
                    return self._unusable(DriftReason.WRITABLE, exposed)
                return read_all(descriptor, _MOST)
            finally:
                os.close(descriptor)
        except Unreadable as error:
            if error.number == errno.EFBIG:
                return self._unusable(DriftReason.PROBLEMS, TOO_LARGE)
            return self._unusable(DriftReason.UNREADABLE, NO_FILE)
        except OSError as error:
            return self._unseen(error)
        except ValueError:  # a zero byte in the name
            return self._unusable(DriftReason.UNREADABLE, "this is no name of a file")

    def problem(self, message: str) -> Problem:
        """A problem of the file as a whole."""
        return Problem(str(self.path), 1, 1, "", message)

    def _unseen(self, error: OSError) -> Unusable:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return self._unusable(DriftReason.GONE, "the rules file is gone; put it back")
        reason = os.strerror(error.errno or 0)
        return self._unusable(DriftReason.UNREADABLE, f"the rules file can't be read: {reason}")

    def _unusable(self, why: DriftReason, message: str) -> Unusable:
        return Unusable(why, self.problem(message))


def digest(text: bytes) -> str:
    """The hash that a ruleset of this text has."""
    return hashlib.sha256(text.removeprefix(_MARK)).hexdigest()


def exposed_rules(path: Path) -> str | None:
    """Who else can change the rules file, by itself or by a folder above it, and the cure; none: nobody."""
    exposed = exposure(path)
    return exposed.sentence("run commands") if exposed is not None else None
