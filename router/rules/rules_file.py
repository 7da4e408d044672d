"""The rules file on the disk: what a look shows, and what it says."""

import errno
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.errors import Problem
from router.rules.document import MAX_BYTES, TOO_LARGE
from router.rules.drift import Why
from router.rules.sight import Sight, sight

_MARK = "\N{BYTE ORDER MARK}".encode()  #: which the loader drops
_MOST = MAX_BYTES + len(_MARK)


@dataclass(frozen=True, slots=True)
class View:
    """One look, to be compared with another."""

    file: Sight
    folder: str  #: that paths in it start from; a symlink above may lead elsewhere while the file stays the same
    secrets: Mapping[Path, Sight]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why the file as it is can't even be read."""

    why: Why
    problem: Problem


class RulesFile:
    """One name on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = path.absolute()  # the working directory may be removed, and realpath then fails

    def look(self, secrets: Sequence[Path]) -> View:
        """Look at it, and at the secret files that belong to it."""
        return View(sight(self.path), self.folder(), {path: sight(path) for path in secrets})

    def folder(self) -> str:
        """The folder that the file is really in."""
        return os.path.dirname(os.path.realpath(self._absolute))  # noqa: PTH120 - Path.resolve raises on symlinks in circles

    def read(self) -> bytes | Unusable:
        """Its bytes, or why there are none."""
        try:
            # A pipe must not hold us until somebody writes to it.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return self._unseen(error)
        except ValueError:  # a zero byte in the name
            return self._unusable(Why.UNREADABLE, "this is no name of a file")
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                return self._unusable(Why.UNREADABLE, "this is no regular file; put the rules file there")
            if mode & stat.S_IWOTH:
                return self._unusable(Why.WRITABLE, everybody_writes(self.path))
            with os.fdopen(os.dup(descriptor), "rb") as file:
                text = file.read(_MOST + 1)
            return text if len(text) <= _MOST else self._unusable(Why.PROBLEMS, TOO_LARGE)
        except OSError as error:
            return self._unseen(error)
        finally:
            os.close(descriptor)

    def problem(self, message: str) -> Problem:
        """A problem of the file as a whole."""
        return Problem(str(self.path), 1, 1, "", message)

    def _unseen(self, error: OSError) -> Unusable:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return self._unusable(Why.GONE, "the rules file is gone; put it back")
        reason = os.strerror(error.errno or 0)
        return self._unusable(Why.UNREADABLE, f"the rules file can't be read: {reason}")

    def _unusable(self, why: Why, message: str) -> Unusable:
        return Unusable(why, self.problem(message))


def digest(text: bytes) -> str:
    """The hash that a ruleset of this text has."""
    return hashlib.sha256(text.removeprefix(_MARK)).hexdigest()


def everybody_writes(path: Path) -> str:
    """What is wrong with a file that every user may write, and its cure."""
    return f"every user of this machine can write this file, and so run commands; chmod o-w {path}"


def unfit(path: Path) -> str | None:
    """Why a rules file isn't fit to be run: whoever may write it may run commands as this user."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # reading it will say so
    if mode & stat.S_IWOTH:
        return f"{path}: {everybody_writes(path)}"
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return f"{path}: this is no regular file, and rules are read more than once; put them into a file"
    return None
