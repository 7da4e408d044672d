"""A disk that may lose power: records what SQLite does to its files, and rebuilds what a crash could have left.

`Recording` stands in for SQLite's VFS while it is open: whatever goes to the files is also noted, in order, together
with `mark`s of what callers had been told by then. `images` walks through the notes and builds, for each chosen moment,
the files as a disk could hold them: all that was synced, and of the rest nothing, everything, or any sectors of any
writes. That is what POSIX leaves open, less one thing which SQLite too relies on: a write damages no bytes beside its
own. A name made or removed counts as lost until its folder was synced.
"""

import ctypes
import itertools
import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
_CALLED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_FOLDER = "openDirectory"  #: the one system call by which SQLite's unix VFS comes to sync a folder
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for a file, not yet safe."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new size for a file, not yet safe."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's first `covers` notes of the recording are safe."""

    file: int
    covers: int


@dataclass(frozen=True, slots=True)
class Name:
    """A name means this file, or none any more; not yet safe."""

    name: str
    file: int | None


@dataclass(frozen=True, slots=True)
class SyncNames:
    """Names that changed in the first `covers` notes are safe."""

    covers: int


@dataclass(frozen=True, slots=True)
class Marker:
    """What somebody has been told."""

    fact: Any


Note = Write | Truncate | Sync | Name | SyncNames | Marker


class Recording(apsw.VFS):
    """SQLite's default VFS while it is open. Any thread's connection may use it."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.news = threading.Condition()
        self._inodes: dict[str, int] = {}  # what each name means now
        self._numbers = itertools.count(1)
        self._local = threading.local()
        super().__init__(f"recording-{next(_names)}", "unix", makedefault=True)
        self._original = _CALLED(self.xGetSystemCall(_FOLDER) or 0)
        self._hook = _CALLED(self._opens_folder)
        self.xSetSystemCall(_FOLDER, ctypes.cast(self._hook, ctypes.c_void_p).value or 0)

    def close(self) -> None:
        """Let SQLite use its own again; every connection must be closed."""
        self.xSetSystemCall(_FOLDER, 0)
        self.unregister()

    def mark(self, fact: Any) -> None:
        """Somebody has been told this."""
        self.note(Marker(fact))

    def note(self, note: Note) -> None:
        """Add a note."""
        with self.news:
            self.notes.append(note)
            self.news.notify_all()

    def number(self, suffix: str) -> int:
        """The number of the file whose name ends so."""
        return next(file for name, file in self._inodes.items() if name.endswith(suffix))

    def syncing(self, file: int | None, sync: Any) -> None:
        """Run something that syncs the file, and perhaps its folder."""
        covers = len(self.notes)
        self._local.folder = False
        sync()
        if file is not None:
            self.note(Sync(file, covers))
        if self._local.folder:
            self.note(SyncNames(covers))

    def inode(self, path: str) -> int:
        """The number of the file that has this name now; the first call is taken for its making."""
        with self.news:
            if path not in self._inodes:
                self._inodes[path] = next(self._numbers)
                self.notes.append(Name(Path(path).name, self._inodes[path]))
            return self._inodes[path]

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "File":  # noqa: N802
        """See apsw.VFS."""
        return File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """See apsw.VFS."""
        with self.news:
            if self._inodes.pop(filename, None) is not None:
                self.notes.append(Name(Path(filename).name, None))
        self.syncing(None, lambda: super(Recording, self).xDelete(filename, syncdir))

    def _opens_folder(self, path: bytes, fd: int) -> int:
        self._local.folder = True  # only to sync it, which comes at once
        return int(self._original(path, fd))


class File(apsw.VFSFile):
    """A file of SQLite's that is written down."""

    def __init__(self, disk: Recording, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "a temporary file holds nothing that must last"
        self._disk = disk
        self._file = disk.inode(path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """See apsw.VFSFile."""
        self._disk.note(Write(self._file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """See apsw.VFSFile."""
        self._disk.note(Truncate(self._file, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """See apsw.VFSFile."""
        self._disk.syncing(self._file, lambda: super(File, self).xSync(flags))


Change = Write | Truncate


@dataclass(frozen=True, slots=True)
class CrashImage:
    """What the disk could hold after a crash before note number `at`."""

    at: int
    facts: list[Any]  #: marked before it
    files: dict[str, bytes]

    def build(self, folder: Path) -> None:
        """Write the files."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@dataclass(slots=True)
class _Disk:
    safe: dict[int, bytearray] = field(default_factory=dict)
    unsafe: dict[int, list[tuple[int, Change]]] = field(default_factory=dict)  #: with their numbers
    names: dict[str, int] = field(default_factory=dict)
    unsafe_names: list[tuple[int, Name]] = field(default_factory=list)

    def take(self, number: int, note: Note) -> None:
        match note:
            case Write() | Truncate():
                self.unsafe.setdefault(note.file, []).append((number, note))
            case Sync():
                waiting = self.unsafe.pop(note.file, [])
                for _, change in (one for one in waiting if one[0] < note.covers):
                    _apply(self.safe.setdefault(note.file, bytearray()), change)
                self.unsafe[note.file] = [one for one in waiting if one[0] >= note.covers]
            case Name():
                self.unsafe_names.append((number, note))
            case SyncNames():
                for _, name in (one for one in self.unsafe_names if one[0] < note.covers):
                    _rename(self.names, name)
                self.unsafe_names = [one for one in self.unsafe_names if one[0] >= note.covers]

    def files(self, kept: float, chance: random.Random) -> dict[str, bytes]:
        """By name; of what isn't safe each sector of a write is there with a likelihood of `kept`."""
        names = dict(self.names)
        # A folder's changes reach the disk in order, through the file system's own journal.
        count = sum(1 for _ in itertools.takewhile(lambda _: chance.random() < kept, self.unsafe_names))
        for _, change in self.unsafe_names[:count]:
            _rename(names, change)
        found: dict[str, bytes] = {}
        for name, file in names.items():
            content = bytearray(self.safe.get(file, b""))
            for _, unsafe in self.unsafe.get(file, []):
                _apply_some(content, unsafe, kept, chance)
            found[name] = bytes(content)
        return found


def images(
    notes: list[Note], moments: Iterable[int], keeps: Iterable[float], chance: random.Random
) -> Iterator[CrashImage]:
    """For each moment (a number of notes) an image for each likelihood that an unsynced sector was kept."""
    disk = _Disk()
    facts: list[Any] = []
    done = 0
    keeps = list(keeps)
    for moment in sorted(moments):
        for number in range(done, moment):
            note = notes[number]
            if isinstance(note, Marker):
                facts.append(note.fact)
            else:
                disk.take(number, note)
        done = moment
        for kept in keeps:
            yield CrashImage(moment, list(facts), disk.files(kept, chance))


def _rename(names: dict[str, int], name: Name) -> None:
    if name.file is None:
        names.pop(name.name, None)
    else:
        names[name.name] = name.file


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Truncate):
        _resize(content, change.size)
        return
    if len(content) < change.offset:
        _resize(content, change.offset)
    content[change.offset : change.offset + len(change.data)] = change.data


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _apply_some(content: bytearray, change: Change, kept: float, chance: random.Random) -> None:
    if isinstance(change, Truncate):
        if chance.random() < kept:
            _apply(content, change)
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        if chance.random() < kept:
            data = change.data[start - change.offset : stop - change.offset]
            _apply(content, Write(change.file, start, data))
        start = stop
