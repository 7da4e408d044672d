"""The paths that no append may write: the rules file and its folder, secret files, the store, the token, and programs.

A path is checked twice. When the rules load, by name: a templated path must not start in, or above, a folder that holds
a protected file. At each write, by identity: the opened file and its folder are compared by device and inode, so that
symlinks, hard links and mounts don't matter.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob as glob_names
from pathlib import Path

_FRESH = 200  #: paths that are examined again for each write (some 2 µs each); if there are more, once a second
_OLD_SECONDS = 1.0

_Identity = tuple[int, int]  #: device and inode

STORE_SUFFIXES = (
    "",
    "-wal",
    "-shm",
    "-journal",
    ".lock",
    ".guard",
    ".token",
)  #: suffixes of a store's further files


class ProtectedPathError(Exception):
    """A write would reach a protected path; the text names it, and the cure."""


@dataclass(frozen=True, slots=True)
class _Identities:
    """The files and folders at the protected paths, as last examined."""

    at: float  #: monotonic seconds
    files: Mapping[_Identity, str]
    folders: Mapping[_Identity, Mapping[str, str]]  #: by folder: the protected names in it; "" for the folder itself
    trees: Mapping[_Identity, str]
    globs: Mapping[_Identity, list[tuple[str, str]]]  #: by folder: globs of names, with what they protect


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A glob of protected files."""

    base: str  #: the folder where it starts, with symlinks resolved
    parts: tuple[str, ...]  #: globs of names, one for each level below
    what: str

    def matches(self, file: str) -> bool:
        parts = Path(file).parts
        above = len(Path(self.base).parts)
        below = parts[above:]
        return (
            Path(file).is_relative_to(self.base)
            and len(below) == len(self.parts)
            and all(fnmatchcase(name, glob) for name, glob in zip(below, self.parts, strict=True))
        )

    def folders(self) -> list[str]:
        """The folders of its files that there are now."""
        if len(self.parts) == 1:
            return [self.base]
        found = glob_names(os.path.join(*self.parts[:-1]), root_dir=self.base)  # noqa: PTH118, PTH207 - a glob
        return [os.path.join(self.base, name) for name in found]  # noqa: PTH118


class ProtectedPaths:
    """The protected paths of one rules file, complete once the file is compiled.

    The `add` methods belong to the thread that compiles; any thread may call the others afterwards.
    With `running`, recorded rules also write nothing that the running rules protect.
    """

    def __init__(self, running: "Callable[[], ProtectedPaths] | None" = None) -> None:
        self._running = running
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._trees: dict[str, str] = {}
        self._patterns: list[_Pattern] = []
        self._above: dict[str, str] = {}  #: each folder above a protected path
        self._holds: dict[str, str] = {}  #: each folder with a protected path in it
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._identities: _Identities | None = None

    def add(self, file: Path, what: str) -> None:
        """Protect a file, whether it exists or not, and the file that it links to."""
        if self._is_new("file", file):
            for name in _names(file):
                self._files.setdefault(name, what)
                self._note_above(os.path.split(name)[0], what)

    def add_folder(self, folder: Path, what: str) -> None:
        """Protect the files in a folder, but not those in folders below it, from templated paths."""
        if self._is_new("folder", folder):
            name = os.path.realpath(folder)
            self._folders.setdefault(name, what)
            self._note_above(name, what)

    def add_tree(self, folder: Path, what: str) -> None:
        """Protect everything below a folder."""
        if self._is_new("tree", folder):
            name = os.path.realpath(folder)
            self._trees.setdefault(name, what)
            self._note_above(name, what)

    def add_pattern(self, folder: Path, glob: str, what: str) -> None:
        """Protect all files that a glob matches, those that don't exist yet too. `*` matches within one folder."""
        parts = Path(os.path.normpath(Path(folder, glob))).parts
        wild = next((number for number, part in enumerate(parts) if any(c in part for c in "*?[")), None)
        if wild is None:
            self.add(Path(*parts), what)
            return
        base = os.path.realpath(Path(*parts[:wild]))
        self._patterns.append(_Pattern(base, parts[wild:], what))
        if wild == len(parts) - 1:
            self.add_folder(Path(base), what)
        else:
            self._note_above(base, what)

    def reachable_from(self, folder: Path) -> str | None:
        """The protected thing that a templated path from this folder could reach; None without one."""
        real = os.path.realpath(folder)
        found = self._holds.get(real) or self._above.get(real) or self._tree_of(real) or self._below_pattern(real)
        return found if found or self._running is None else self._running().reachable_from(folder)

    def named_by(self, file: Path) -> str | None:
        """The protected thing that a constant path names; None without one."""
        for name in _names(file):
            if found := self._files.get(name) or self._tree_of(name) or self._matched(name):
                return found
        return None

    def check_entry(self, folder: int, name: str, *, templated: bool, follow: bool) -> None:
        """Check a name in an open folder, before the file is opened or created. Raises ProtectedPathError.

        Call it before opening: closing a descriptor of the store's file drops SQLite's locks on it (POSIX).
        `templated`: a sender chose the name, so every file of a protected folder is refused. `follow`: symlinks are
        followed.
        """
        known = self._current()
        with contextlib.suppress(FileNotFoundError):
            self._refuse(os.stat(name.encode(), dir_fd=folder, follow_symlinks=follow), known)
        here = _identity(os.fstat(folder))
        names = known.folders.get(here, {})
        what = names.get(name) or next((w for glob, w in known.globs.get(here, ()) if fnmatchcase(name, glob)), None)
        what = what or (next(iter(names.values()), None) if templated else None)
        if what is None and known.trees:
            what = _tree_above(folder, known.trees)
        if what is not None:
            raise ProtectedPathError(refusal(what))
        if self._running is not None:
            self._running().check_entry(folder, name, templated=templated, follow=follow)

    def check_file(self, file: int) -> None:
        """Check an open file. Raises ProtectedPathError."""
        self._refuse(os.fstat(file), self._current())
        if self._running is not None:
            self._running().check_file(file)

    def _refuse(self, found: os.stat_result, known: _Identities) -> None:
        what = known.files.get(_identity(found))
        if what is not None:
            raise ProtectedPathError(refusal(what))

    def _is_new(self, kind: str, path: Path) -> bool:
        key = (kind, str(path))
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _note_above(self, folder: str, what: str) -> None:
        self._holds.setdefault(folder, what)
        while folder not in self._above:
            self._above[folder] = what
            folder = os.path.split(folder)[0]

    def _below_pattern(self, folder: str) -> str | None:
        """The pattern with folders in it that could match something below this folder."""
        deep = (pattern for pattern in self._patterns if len(pattern.parts) > 1)
        return next((pattern.what for pattern in deep if Path(folder).is_relative_to(pattern.base)), None)

    def _matched(self, file: str) -> str | None:
        return next((pattern.what for pattern in self._patterns if pattern.matches(file)), None)

    def _tree_of(self, path: str) -> str | None:
        return next((what for tree, what in self._trees.items() if Path(path).is_relative_to(tree)), None)

    def _current(self) -> _Identities:
        with self._lock:
            known, now = self._identities, time.monotonic()
            many = len(self._files) + len(self._folders) > _FRESH
            if known is None or not many or now - known.at > _OLD_SECONDS:
                known = self._identities = self._examine(now)
            return known

    def _examine(self, now: float) -> _Identities:
        files: dict[_Identity, str] = {}
        folders: dict[_Identity, dict[str, str]] = {}
        parents: dict[str, _Identity | None] = {}

        def names_in(folder: str) -> dict[str, str]:
            if folder not in parents:
                parents[folder] = _identity_of(folder)
            found = parents[folder]
            return folders.setdefault(found, {}) if found is not None else {}

        for name, what in self._files.items():
            if (found := _identity_of(name)) is not None:
                files.setdefault(found, what)
            parent, entry = os.path.split(name)
            names_in(parent).setdefault(entry, what)
        for folder, what in self._folders.items():
            names_in(folder).setdefault("", what)
        trees = {found: what for tree, what in self._trees.items() if (found := _identity_of(tree)) is not None}
        globs: dict[_Identity, list[tuple[str, str]]] = {}
        for pattern in self._patterns:
            for folder in pattern.folders():
                if (found := _identity_of(folder)) is not None:
                    globs.setdefault(found, []).append((pattern.parts[-1], pattern.what))
        return _Identities(now, files, folders, trees, globs)


def refusal(what: str) -> str:
    """The message for a refused path, with the cure."""
    return f"this path leads to {what}, where no event may write; choose a file in a folder of its own, such as out/"


def _names(file: Path) -> set[str]:
    """The name in its resolved folder, and the file that it leads to."""
    folder, name = os.path.split(file)
    return {os.path.join(os.path.realpath(folder), name), os.path.realpath(file)}  # noqa: PTH118 - see os.path.split


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _identity_of(path: str) -> _Identity | None:
    try:
        return _identity(os.stat(path))  # noqa: PTH116 - called for every path at each write
    except (OSError, ValueError):
        return None


def _tree_above(folder: int, trees: Mapping[_Identity, str]) -> str | None:
    """The protected tree that an open folder is in, found by walking up from the folder."""
    here = os.dup(folder)
    try:
        before: _Identity | None = None
        while (found := _identity(os.fstat(here))) != before:
            if found in trees:
                return trees[found]
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here, before = above, found
        return None
    finally:
        os.close(here)
