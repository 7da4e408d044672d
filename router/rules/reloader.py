"""Notices that the rules file changed, and swaps in what it says, or keeps what runs and says why."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from router.errors import Level, Problem, RouterError
from router.rules.collecting import UNCOLLECTED, let_go, resting_while, set_aside
from router.rules.loader import Loader
from router.rules.ruleset import Current, Ruleset

POLL_SECONDS = 0.25  #: stat works for every way of saving and every file system, bind mounts too; it costs some 2 µs

log = structlog.get_logger()

_Stat = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a reload changed, by rule name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def compare(old: Ruleset, new: Ruleset) -> Change:
    """What is different between two rulesets."""
    before = {rule.name: rule.digest for rule in old.rules}
    after = {rule.name: rule.digest for rule in new.rules}
    return Change(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
    )


def refuse_writable(path: Path) -> str | None:
    """Why a rules file isn't safe to run: whoever may write it may run commands as this user."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # reading it will say so
    if mode & stat.S_IWOTH:
        return f"{path}: every user of this machine can write this file, and so run commands; chmod o-w {path}"
    return None


class Reloader:
    """Watches one rules file in a thread of its own.

    `reload_soon` may be called from any thread and from a signal handler. `prepare` is what must succeed before a new
    ruleset may run (its text is stored); `applied` is told after the swap, `refused` what was wrong with a file that
    changed nothing; while requests are `busy` a reload takes its time.
    """

    def __init__(
        self,
        path: Path,
        loader: Loader,
        current: Current,
        prepare: Callable[[Ruleset], None],
        applied: Callable[[Ruleset, Change], None],
        refused: Callable[[Sequence[str]], None] = lambda _: None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path = path
        self._loader = loader
        self._current = current
        self._prepare = prepare
        self._applied = applied
        self._refused = refused
        self._busy = busy
        self._wake = threading.Event()
        self._forced = False
        self._stopping = False
        self._seen: _Stat = (
            0,
            0,
            0,
            0,
        )  # never equal: the first look compares the text, whatever happened since loading
        self._tried = current.ruleset.hash
        self._missing = False
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a reload under way ends first."""
        self._stopping = True
        self._wake.set()
        self._thread.join(10)

    def reload_soon(self) -> None:
        """Reload now, changed or not: secret files are read again as well."""
        self._forced = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._look()
            except Exception:
                log.exception("watching the rules file failed; the running rules stay")

    def _stat(self) -> _Stat:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - follows symlinks: a ConfigMap swaps one
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def _look(self) -> None:
        forced, self._forced = self._forced, False
        seen = self._stat()
        if seen == self._seen and not forced:
            return
        if seen is None:
            if not self._missing:
                log.warning("rules file is gone; the running rules stay", file=str(self._path))
            self._missing, self._seen = True, None
            return
        text = self._settled()
        if text is None:
            self._forced = self._forced or forced
            return  # still being written: look again at the next poll
        self._seen = seen
        returned, self._missing = self._missing, False
        digest = hashlib.sha256(text.removeprefix(b"\xef\xbb\xbf")).hexdigest()  # as the loader's, without a BOM
        if digest == self._tried and not forced:
            if returned:
                log.info("rules file is back, unchanged", file=str(self._path))
            return
        self._tried = digest
        # The collector stays off until what was loaded is set aside, or its first round would walk all of it.
        with UNCOLLECTED, resting_while(self._busy):
            self._reload(text)
            set_aside()

    def _settled(self) -> bytes | None:
        """The file's bytes once two looks in a row agree; a truncate-then-write is never read half way."""
        try:
            before, text = self._stat(), self._path.read_bytes()
            self._wake.wait(POLL_SECONDS / 5)
            same = self._stat() == before and self._path.read_bytes() == text
        except OSError as error:
            log.error(
                "rules not reloaded; the running rules stay",
                file=str(self._path),
                problems=[f"{self._path}: can't be read: {os.strerror(error.errno or 0)}"],
            )
            self._seen = self._stat()
            return None
        return text if same else None

    def _reload(self, text: bytes) -> None:
        refusal = refuse_writable(self._path)
        if refusal:
            self._keep([refusal])
            return
        loaded = self._loader.load(text, str(self._path), Path(os.path.realpath(self._path)).parent)
        if loaded.ruleset is None:
            self._keep([str(p) for p in loaded.problems if p.level is Level.ERROR])
            return
        try:
            self._prepare(loaded.ruleset)
        except RouterError as error:
            self._tried = ""  # the file is fine, so the next change of anything tries it again
            self._keep([str(error)])
            return
        change = compare(self._current.ruleset, loaded.ruleset)
        parts = self._current.ruleset.parts()
        self._current.ruleset = loaded.ruleset
        let_go(parts)
        _warn(loaded.problems)
        log.info(
            "rules reloaded",
            file=str(self._path),
            hash=loaded.ruleset.hash[:12],
            rules=len(loaded.ruleset.rules),
            added=list(change.added),
            removed=list(change.removed),
            changed=list(change.changed),
        )
        self._applied(loaded.ruleset, change)

    def _keep(self, problems: list[str]) -> None:
        for problem in problems:
            log.error("rules file has a problem", problem=problem)
        log.error(
            "rules not reloaded; the running rules stay",
            file=str(self._path),
            hash=self._current.ruleset.hash[:12],
            problems=len(problems),
        )
        self._refused(problems)


def _warn(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        if problem.level is Level.WARNING:
            log.warning("rules file has a doubtful place", problem=str(problem))
