"""The rules file on disk: its state and its text."""

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from router.domain.errors import Problem
from router.domain.files.bounded import Unreadable, open_regular, read_all
from router.domain.files.trust import exposure
from router.rules.include.entries import DIRECTORY_TEXT, patterns_in
from router.rules.include.files import MAX_FILES, IncludedBytes, IncludedFile, find, ruleset_hash
from router.rules.reload.drift import DriftReason
from router.rules.reload.file_stat import FileStat, file_stat, secret_file_stat
from router.rules.yaml.document import MAX_BYTES, TOO_LARGE

_BOM = "\N{BYTE ORDER MARK}".encode()  #: the loader drops it too
NO_FILE = "this is not a regular file, but rules are read more than once; put them into a regular file"
_MAX_READ = MAX_BYTES + len(_BOM)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the files at one time. Two snapshots are equal if nothing changed."""

    file: FileStat
    folder: str  #: the base of relative paths; it can change by a symlink while the file stays the same
    secrets: Mapping[Path, FileStat]
    exposed: str | None = None  #: which other users can write the file, or a folder above it
    included: Mapping[Path, FileStat] = field(default_factory=dict)
    folders: Mapping[str, str | None] = field(default_factory=dict)
    """By folder of included files, with symlinks resolved: which other users can write there."""


@dataclass(frozen=True, slots=True)
class RulesText:
    """The text of a rules file, with those that it includes, as they were read."""

    main: bytes
    included: tuple[IncludedBytes, ...] = ()

    @property
    def hash(self) -> str:
        """The hash of a ruleset made from it."""
        return ruleset_hash(self.main, self.included)

    @property
    def folders(self) -> tuple[tuple[str, str], ...]:
        """Name and folder of each included file."""
        return tuple((one.name, one.folder) for one in self.included)


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why the file can't be read."""

    why: DriftReason
    problem: Problem


class RulesFile:
    """The rules file, known by its name, with the files that it includes; or the files of a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = path.absolute()  # realpath fails if the working directory was removed
        self._is_folder = os.path.isdir(path)  # decided once: a file that turns into a folder is a mistake
        self._patterns: tuple[str, ...] = ()  #: of the text that was read last

    def snapshot(self, secrets: Sequence[Path]) -> Snapshot:
        """The state of the file, of the files that it includes, and of the secret files that it names."""
        seen = {path: secret_file_stat(path) for path in secrets}
        found = self._included()
        folders = {folder: _exposed_folder(folder) for folder in {one.folder for one in found}}
        stat = file_stat(self.path)
        if self._is_folder:
            stat = stat[-2:]  # which folder it is; the rest also changes with unrelated files
        included = {one.path: file_stat(one.path) for one in found}
        return Snapshot(stat, self.folder(), seen, exposed_rules(self.path), included, folders)

    def folder(self) -> str:
        """The folder of the file, with symlinks resolved."""
        real = os.path.realpath(self._absolute)
        return real if self._is_folder else os.path.dirname(real)  # noqa: PTH120 - Path.resolve raises on symlinks in circles

    def read(self, *, guarded: bool = True) -> RulesText | Unusable:
        """The texts, or why one can't be read. When `guarded`, a file that other users can change counts as
        unusable."""
        main = self._read_folder(guarded=guarded) if self._is_folder else self._read(self.path, guarded=guarded)
        if isinstance(main, Unusable):
            return main
        self._patterns = patterns_in(main)
        read: list[IncludedBytes] = []
        for one in self._included():
            content = self._read(one.path, guarded=guarded)
            if isinstance(content, Unusable):
                if content.why is DriftReason.GONE:
                    continue  # the loader reports the names without a file
                return content
            read.append(IncludedBytes(one.pattern, one.name, content, one.folder))
        if sum(len(one.data) for one in read) > MAX_BYTES:
            return self._unusable(DriftReason.PROBLEMS, f"all included files together: {TOO_LARGE}")
        return RulesText(main, tuple(read))

    def _read_folder(self, *, guarded: bool) -> bytes | Unusable:
        """The text that stands for the main file of a folder."""
        exposed = exposed_rules(self.path) if guarded else None
        if exposed is not None:
            return self._unusable(DriftReason.WRITABLE, exposed)
        main = DIRECTORY_TEXT.encode()
        self._patterns = patterns_in(main)
        if not self._included():
            return self._unusable(DriftReason.GONE, "this folder has no rules any more; put a *.yaml back")
        return main

    def problem(self, message: str) -> Problem:
        """A problem of the file as a whole."""
        return Problem(str(self.path), 1, 1, "", message)

    def _included(self) -> list[IncludedFile]:
        return find(self.folder(), self._patterns, self._absolute)[:MAX_FILES] if self._patterns else []

    def _read(self, path: Path, *, guarded: bool) -> bytes | Unusable:
        try:
            descriptor = open_regular(path)
            try:
                exposed = exposed_rules(path) if guarded else None
                if exposed is not None:
                    return self._unusable(DriftReason.WRITABLE, exposed, path)
                return read_all(descriptor, _MAX_READ)
            finally:
                os.close(descriptor)
        except Unreadable as error:
            if error.number == errno.EFBIG:
                return self._unusable(DriftReason.PROBLEMS, TOO_LARGE, path)
            return self._unusable(DriftReason.UNREADABLE, NO_FILE, path)
        except OSError as error:
            return self._missing(error, path)
        except ValueError:  # a zero byte in the name
            return self._unusable(DriftReason.UNREADABLE, "this is not a file name", path)

    def _missing(self, error: OSError, path: Path) -> Unusable:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return self._unusable(DriftReason.GONE, "the rules file is gone; put it back", path)
        reason = os.strerror(error.errno or 0)
        return self._unusable(DriftReason.UNREADABLE, f"the rules file can't be read: {reason}", path)

    def _unusable(self, why: DriftReason, message: str, path: Path | None = None) -> Unusable:
        return Unusable(why, Problem(self._shown(path or self.path), 1, 1, "", message))

    def _shown(self, path: Path) -> str:
        """The path, in the form that the operator used for the main file."""
        if path == self.path:
            return str(path)
        above = self.path if self._is_folder else self.path.parent
        return str(above / os.path.relpath(path, self.folder()))


def exposed_rules(path: Path) -> str | None:
    """How other users can change the rules file, or a folder above it, with the cure; None if nobody can."""
    exposed = exposure(path)
    return exposed.sentence("run commands") if exposed is not None else None


@lru_cache(maxsize=256)
def _exposed_at(folder: str, at: int) -> str | None:  # noqa: ARG001 - the time makes an entry old
    return exposed_rules(Path(folder))


def _exposed_folder(folder: str) -> str | None:
    """The same for a folder of included files. Checked once a second, since there may be hundreds."""
    return _exposed_at(folder, int(time.monotonic()))
