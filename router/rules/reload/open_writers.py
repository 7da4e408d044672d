"""Finds out, by inotify(7), which files a program has written to and not yet closed. Linux only.

A lease (file_stat.py) tells more, but Linux grants it only to the owner of a file, and root usually owns the rules
file.
"""

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

_MODIFY, _CLOSE_WRITE, _OVERFLOW, _IGNORED = 0x2, 0x8, 0x4000, 0x8000  #: of <sys/inotify.h>
_EVENT = struct.Struct("iIII")  #: watch, mask, cookie, length of the name that follows
_READ_BYTES = 64 * 1024  #: bytes of one read: some thousand events
_MAX_READS = 64  #: reads in one check; a program that writes faster than we read is still writing


class OpenWriters:
    """Belongs to one thread. On systems other than Linux every answer is None."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
        self._descriptor = -1
        if self._library is not None:
            self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watches: dict[Path, int] = {}
        self._writing: dict[int, bool | None] = {}  #: by watch; None before the first event

    def update(self, paths: Collection[Path]) -> None:
        """Read the events of the watched files, then watch the files that these names lead to now."""
        if self._descriptor < 0:
            return
        self._read_events()
        self._watches = {path: watch for path in paths if (watch := self._watch(path)) >= 0}
        for unused in self._writing.keys() - set(self._watches.values()):
            self._unwatch(unused)
        for watch in self._watches.values():
            self._writing.setdefault(watch, None)

    def writes(self, path: Path) -> bool | None:
        """Whether a program had written to the file and not closed it, at the last check; None if unknown."""
        return self._writing.get(self._watches.get(path, -1))

    def note_read(self) -> None:
        """The files are read. Forget closed writers: another machine may write next, and inotify does not see it."""
        self._writing = {watch: writing or None for watch, writing in self._writing.items()}

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._watches, self._writing = -1, {}, {}

    def _watch(self, path: Path) -> int:
        """The number of the file's watch, which changes when the name leads to another file; below 0 on failure."""
        assert self._library is not None  # a descriptor exists only with the library
        try:
            name = os.fsencode(path)
        except UnicodeEncodeError:
            return -1
        if b"\0" in name:
            return -1
        watch: int = self._library.inotify_add_watch(self._descriptor, name, _MODIFY | _CLOSE_WRITE)
        return watch

    def _unwatch(self, watch: int) -> None:
        assert self._library is not None
        self._library.inotify_rm_watch(self._descriptor, watch)
        del self._writing[watch]

    def _read_events(self) -> None:
        for watch, mask in self._events():
            if mask & _OVERFLOW:
                self._writing = dict.fromkeys(self._writing)  # the queue was full, and events are lost
            elif watch not in self._writing:
                pass  # an event of a file that is no longer watched
            elif mask & _IGNORED:  # the file is gone for good
                del self._writing[watch]
            elif mask & _MODIFY:
                self._writing[watch] = True
            elif mask & _CLOSE_WRITE:
                self._writing[watch] = False

    def _events(self) -> Iterator[tuple[int, int]]:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MAX_READS):
                found = os.read(self._descriptor, _READ_BYTES)
                at = 0
                while at < len(found):
                    watch, mask, _, length = _EVENT.unpack_from(found, at)
                    yield watch, mask
                    at += _EVENT.size + length
