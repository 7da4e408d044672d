"""Which of some files a program is writing to, as Linux tells those who may only read them: inotify(7), in a few calls.

A lease (sight.py) tells more, but only to the owner of a file; in the usual installation the rules are root's.
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
_ROOM = 64 * 1024  #: bytes of one read: some thousand events
_READS = 64  #: of one look; a program that writes faster than we read is writing


class OpenWriters:
    """Belongs to one thread. Where the system doesn't tell, nothing is known and nothing fails."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
        self._descriptor = -1
        if self._library is not None:
            self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watches: dict[Path, int] = {}
        self._writing: dict[int, bool | None] = {}  #: by watch; none: nothing was seen of it yet

    def look(self, paths: Collection[Path]) -> None:
        """Hear what was done to the files that are watched, and watch those that these names lead to now."""
        if self._descriptor < 0:
            return
        self._hear()
        self._watches = {path: watch for path in paths if (watch := self._watch(path)) >= 0}
        for left in self._writing.keys() - set(self._watches.values()):
            self._forget(left)
        for watch in self._watches.values():
            self._writing.setdefault(watch, None)

    def writes(self, path: Path) -> bool | None:
        """Whether some program has written to it and not closed it yet, at the last look; none: nobody can tell."""
        return self._writing.get(self._watches.get(path, -1))

    def taken(self) -> None:
        """What was written is read: what comes next may be written where inotify sees nothing, by another machine."""
        self._writing = {watch: writing or None for watch, writing in self._writing.items()}

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._watches, self._writing = -1, {}, {}

    def _watch(self, path: Path) -> int:
        """The watch of a file: the same one each time, another one of another file by that name; below 0: none."""
        assert self._library is not None  # or there were no descriptor
        try:
            name = os.fsencode(path)
        except UnicodeEncodeError:
            return -1
        if b"\0" in name:
            return -1
        watch: int = self._library.inotify_add_watch(self._descriptor, name, _MODIFY | _CLOSE_WRITE)
        return watch

    def _forget(self, watch: int) -> None:
        assert self._library is not None
        self._library.inotify_rm_watch(self._descriptor, watch)
        del self._writing[watch]

    def _hear(self) -> None:
        for watch, mask in self._events():
            if mask & _OVERFLOW:
                self._writing = dict.fromkeys(self._writing)  # something was missed
            elif watch not in self._writing:
                pass  # of a file that is watched no longer
            elif mask & _IGNORED:  # the file is gone for good
                del self._writing[watch]
            elif mask & _MODIFY:
                self._writing[watch] = True
            elif mask & _CLOSE_WRITE:
                self._writing[watch] = False

    def _events(self) -> Iterator[tuple[int, int]]:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READS):
                found = os.read(self._descriptor, _ROOM)
                at = 0
                while at < len(found):
                    watch, mask, _, length = _EVENT.unpack_from(found, at)
                    yield watch, mask
                    at += _EVENT.size + length
