"""Watches the rules file and its secret files: their state, and whether a program is still writing them."""

import time
from collections.abc import Collection
from pathlib import Path

from router.rules.reload.file_stat import FileStat, exists, is_open_for_writing
from router.rules.reload.open_writers import OpenWriters
from router.rules.reload.rules_file import RulesFile, Snapshot

QUIET_SECONDS = 0.2  #: how long a file must stay unchanged when no program has it open for writing
UNTOLD_SECONDS = 1.0  #: the same where the system doesn't tell which programs have it open
HELD_SECONDS = 5.0  #: the same while a program has it open for writing; the longest pause of a slow writer

UNSEEN = Snapshot((), "", {})  # differs from every snapshot of a file


class FileWatch:
    """Belongs to one thread."""

    def __init__(self, file: RulesFile) -> None:
        self._file = file
        self._writers = OpenWriters()
        self._last = UNSEEN
        self._same_since = 0.0  #: monotonic, when the last snapshot was first seen

    def snapshot(self, secrets: Collection[Path]) -> Snapshot:
        """The state of the files now."""
        snapshot = self._file.snapshot(list(secrets))
        self._writers.update([self._file.path, *snapshot.included, *secrets])
        if snapshot != self._last:
            self._last, self._same_since = snapshot, time.monotonic()
        return snapshot

    def is_settled(self, judged: Snapshot, secrets: dict[Path, FileStat], now: float) -> bool:
        """Whether every file that changed since `judged`, or differs from `secrets`, is completely written."""
        quiet = now - self._same_since
        if quiet < QUIET_SECONDS or quiet >= HELD_SECONDS:
            return quiet >= HELD_SECONDS
        changed = {self._file.path: self._last.file} if self._last.file != judged.file else {}
        changed |= {path: stat for path, stat in self._last.included.items() if stat != judged.included.get(path)}
        changed |= {path: stat for path, stat in self._last.secrets.items() if stat != secrets.get(path)}
        written = [self._is_written(path) for path, stat in changed.items() if exists(stat)]
        return True not in written and (None not in written or quiet >= UNTOLD_SECONDS)

    def note_read(self) -> None:
        """The files are read: forget which programs wrote them."""
        self._writers.note_read()

    def close(self) -> None:
        """Stop watching."""
        self._writers.close()

    def _is_written(self, path: Path) -> bool | None:
        """Whether a program has the file open for writing; None if the system doesn't tell."""
        by_lease = is_open_for_writing(path)
        return self._writers.writes(path) if by_lease is None else by_lease
