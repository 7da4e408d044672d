"""A simulated disk that loses power: records SQLite's writes, and builds the files that a crash could leave.

`Recording` replaces SQLite's VFS while it is open. It notes each change of the files in order. `mark` adds a note of
what the store reported to its callers. For chosen moments `images` builds the files that a disk could hold: all synced
bytes, and none, all or some sectors of the unsynced writes. POSIX allows each of these states. One assumption is
stricter than POSIX, and SQLite makes it too: a write damages no other bytes. A created or removed name is lost until
its folder is synced.
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
_FOLDER = "openDirectory"  #: the system call with which SQLite's unix VFS begins to sync a folder
_names = itertools.count()


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes written to a file, not yet synced."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new size of a file, not yet synced."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync of a file: its changes among the first `covers` notes are on the disk."""

    file: int
    signed_parts: int


@dataclass(frozen=True, slots=True)
class Name:
    """A name was given to a file or removed, not yet synced."""

    name: str
    file: int | None


@dataclass(frozen=True, slots=True)
class SyncNames:
    """A sync of the folder: the changes of names among the first `covers` notes are on the disk."""

    signed_parts: int


@dataclass(frozen=True, slots=True)
class Marker:
    """A fact that the store reported to a caller."""

    fact: Any


Note = Write | Truncate | Sync | Name | SyncNames | Marker


class Recording(apsw.VFS):
    """Is SQLite's default VFS while it is open. Connections of any thread may use it."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.changed = threading.Condition()
        self._inodes: dict[str, int] = {}  # by name: the number of its file
        self._numbers = itertools.count(1)
        self._local = threading.local()
        super().__init__(f"recording-{next(_names)}", "unix", makedefault=True)
        self._original = _CALLED(self.xGetSystemCall(_FOLDER) or 0)
        self._hook = _CALLED(self._opens_folder)
        self.xSetSystemCall(_FOLDER, ctypes.cast(self._hook, ctypes.c_void_p).value or 0)

    def close(self) -> None:
        """Restore SQLite's own VFS. Close every connection first."""
        self.xSetSystemCall(_FOLDER, 0)
        self.unregister()

    def mark(self, fact: Any) -> None:
        """Note a fact that the store reported."""
        self.note(Marker(fact))

    def note(self, note: Note) -> None:
        """Add a note."""
        with self.changed:
            self.notes.append(note)
            self.changed.notify_all()

    def number(self, suffix: str) -> int:
        """The number of the file whose name ends like this."""
        return next(file for name, file in self._inodes.items() if name.endswith(suffix))

    def syncing(self, file: int | None, sync: Any) -> None:
        """Run a function that syncs the file, and maybe its folder."""
        covers = len(self.notes)
        self._local.folder = False
        sync()
        if file is not None:
            self.note(Sync(file, covers))
        if self._local.folder:
            self.note(SyncNames(covers))

    def inode(self, path: str) -> int:
        """The number of the file with this name. The first call notes its creation."""
        with self.changed:
            if path not in self._inodes:
                self._inodes[path] = next(self._numbers)
                self.notes.append(Name(Path(path).name, self._inodes[path]))
            return self._inodes[path]

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "File":  # noqa: N802
        """See apsw.VFS."""
        return File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """See apsw.VFS."""
        with self.changed:
            if self._inodes.pop(filename, None) is not None:
                self.notes.append(Name(Path(filename).name, None))
        self.syncing(None, lambda: super(Recording, self).xDelete(filename, syncdir))

    def _opens_folder(self, path: bytes, fd: int) -> int:
        self._local.folder = True  # SQLite opens a folder only to sync it
        return int(self._original(path, fd))


class File(apsw.VFSFile):
    """A file of SQLite whose changes are recorded."""

    def __init__(self, disk: Recording, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "a temporary file has no name"
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
    """Files that a disk could hold after a crash just before note number `at`."""

    at: int
    facts: list[Any]  #: facts that were reported before the crash
    files: dict[str, bytes]

    def build(self, folder: Path) -> None:
        """Write the files into a folder."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


@dataclass(slots=True)
class _Disk:
    safe: dict[int, bytearray] = field(default_factory=dict)
    unsafe: dict[int, list[tuple[int, Change]]] = field(default_factory=dict)  #: with note numbers
    names: dict[str, int] = field(default_factory=dict)
    unsafe_names: list[tuple[int, Name]] = field(default_factory=list)

    def take(self, number: int, note: Note) -> None:
        match note:
            case Write() | Truncate():
                self.unsafe.setdefault(note.file, []).append((number, note))
            case Sync():
                waiting = self.unsafe.pop(note.file, [])
                for _, change in (one for one in waiting if one[0] < note.signed_parts):
                    _apply(self.safe.setdefault(note.file, bytearray()), change)
                self.unsafe[note.file] = [one for one in waiting if one[0] >= note.signed_parts]
            case Name():
                self.unsafe_names.append((number, note))
            case SyncNames():
                for _, name in (one for one in self.unsafe_names if one[0] < note.signed_parts):
                    _rename(self.names, name)
                self.unsafe_names = [one for one in self.unsafe_names if one[0] >= note.signed_parts]

    def files(self, kept: float, chance: random.Random) -> dict[str, bytes]:
        """The files by name. An unsynced sector was written with a probability of `kept`."""
        names = dict(self.names)
        # The journal of the file system writes the changes of a folder in order.
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
    """An image for each moment (a number of notes) and each probability that an unsynced sector was written."""
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
