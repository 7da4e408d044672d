"""Reloads the rules file when it changes: the new rules run, or the old ones stay and the log says why."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import structlog

from router.domain.errors import Problem, RouterError, RulesError
from router.rules.compile.loader import Loaded, Loader
from router.rules.include.entries import patterns_in
from router.rules.reload.drift import Drift, DriftReason, Reloaded, ReloadRefused
from router.rules.reload.drift_tracker import DriftTracker
from router.rules.reload.file_watch import UNSEEN, FileWatch
from router.rules.reload.rules_file import RulesFile, RulesText, Snapshot, Unusable
from router.rules.reload.ruleset_diff import RulesetDiff, compare
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.runtime.pacing import GC_PAUSED, freeze_garbage, let_go, resting_while_busy

POLL_SECONDS = 0.25  #: between checks; stat (2 µs) works for each way of saving and each file system, bind mounts too
NEAR_SECONDS = 0.05  #: the same while the file is changing
#: until a new text is read once more; some file systems have times with a precision of two seconds
RECHECK_SECONDS = 3.0
RETRY_SECONDS = 10.0  #: until a text that the store could not record is tried again
WRITING_SECONDS = 2.0  #: how long a file may be written before `status` reports it
MAX_LOGGED = 20  #: problems of one file that get a log line each; `check` lists all

log = structlog.get_logger()

ReloadResult = Reloaded | ReloadRefused


class Reloader:
    """Watches one rules file, and the secret files that it names, in a thread of its own.

    Any thread may call `reload_now`, `reload_soon`, `drift` and `alive`; a signal handler may call `reload_soon`. The
    reloader's thread calls the callbacks: `begun` before each load; `prepare` with the new ruleset, which runs only if
    that succeeds (it stores the text, and other processes load it); then `swapped`, after which other processes must
    use the new rules too, and `applied`; or `refused` if the running rules stay; `drifted` whenever `drift` changes.
    While `busy` is true, a reload pauses often, so that requests go first.
    """

    def __init__(
        self,
        path: Path,
        loader: Loader,
        current: CurrentRuleset,
        prepare: Callable[[Ruleset], None],
        applied: Callable[[Ruleset, RulesetDiff], None],
        *,
        swapped: Callable[[Ruleset], None] = lambda _: None,
        refused: Callable[[ReloadRefused], None] = lambda _: None,
        drifted: Callable[[Drift | None], None] = lambda _: None,
        begun: Callable[[], None] = lambda: None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._file = RulesFile(path)
        self._loader = loader
        self._current = current
        self._prepare = prepare
        self._applied = applied
        self._swapped = swapped
        self._refused = refused
        self._begun = begun
        self._busy = busy
        self._wake = threading.Event()
        self._lock = threading.Lock()  # guards _waiting and _ended
        self._waiting: list[Future[ReloadResult]] = []
        self._ended = False
        self._forced = False
        self._stopping = False
        self._drift = DriftTracker(path, drifted)
        self._watch = FileWatch(self._file)
        self._changing_since: float | None = None  #: monotonic, when the files began to change
        self._judged = UNSEEN  #: what the last decision was about; the first check always decides
        self._refused_text = ""  #: the hash of the text that was refused last
        self._secrets = dict(current.ruleset.secret_files)  #: the files to watch, as they were when they were last read
        self._recheck_at: float | None = None  #: monotonic; then the file is read again even if it looks the same
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a reload under way ends first."""
        self._stopping = True
        self._wake.set()
        self._thread.join(10)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def drift(self) -> Drift | None:
        """Why the file does not run; None if it does."""
        return self._drift.drift

    def reload_soon(self) -> None:
        """Reload, changed or not: secret files are read again as well."""
        self._forced = True
        self._wake.set()

    def reload_now(self, timeout: float) -> ReloadResult:
        """Like `reload_soon`, but wait at most `timeout` seconds for the result. Simultaneous calls share one
        reload."""
        result: Future[ReloadResult] = Future()
        with self._lock:
            if self._ended or self._stopping:
                return self._refusal(DriftReason.STOPPING, "the daemon stops; nothing was reloaded")
            self._waiting.append(result)
        self._wake.set()
        try:
            return result.result(timeout)
        except TimeoutError:
            if self._changing_since is not None:
                return self._refusal(
                    DriftReason.UNSETTLED, "the rules file is still being written; ask again when it is saved"
                )
            return self._refusal(
                DriftReason.TIMEOUT, "the reload takes longer; it continues, and `webhook-router status` shows its end"
            )

    def _refusal(self, why: DriftReason, message: str) -> ReloadRefused:
        return ReloadRefused(why, (self._file.problem(message),), self._current.ruleset.hash)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait(POLL_SECONDS if self._changing_since is None else NEAR_SECONDS)
                self._wake.clear()
                if not self._stopping:
                    self._turn()
        finally:  # however the thread ends, no caller may wait for it forever
            self._watch.close()
            with self._lock:
                self._ended = True
                waiting, self._waiting = self._waiting, []
            for caller in waiting:
                caller.set_result(self._refusal(DriftReason.STOPPING, "the daemon stops; nothing was reloaded"))

    def _turn(self) -> None:
        """Check the files, reload if they changed, and give the result to waiting callers."""
        with self._lock:
            waiting = list(self._waiting)
        forced = bool(waiting) or self._forced
        try:
            result = self._look(forced=forced)
        except Exception as error:
            again = self._drifts_by(DriftReason.FAULT) and not waiting
            if not again:  # without this the log would get the line four times a second
                log.exception("watching the rules file failed; the running rules stay")
            self._changing_since, self._forced = None, False
            problem = self._file.problem(f"internal error ({type(error).__name__})")
            result = self._keep(DriftReason.FAULT, [problem], quietly=again)
        if result is None:
            return  # nothing changed, or a program still writes the file
        with self._lock:
            self._waiting = [caller for caller in self._waiting if caller not in waiting]
        for caller in waiting:
            caller.set_result(result)

    def _look(self, *, forced: bool) -> ReloadResult | None:
        snapshot, now = self._watch.snapshot(self._secrets), time.monotonic()
        due = self._recheck_at is not None and now >= self._recheck_at
        if snapshot == self._judged and not forced and not due:
            self._changing_since = None
            self._drift.remind(now)
            return None
        if snapshot != self._judged and not self._watch.is_settled(self._judged, self._secrets, now):
            self._note_writing(now)
            return None
        self._changing_since = None
        self._forced = False
        seen = snapshot == self._judged
        self._recheck_at = None if seen else now + RECHECK_SECONDS
        self._judged = snapshot
        self._watch.note_read()
        text = self._file.read()
        if self._file.snapshot(list(self._secrets)) != snapshot:
            self._judged, self._forced = UNSEEN, self._forced or forced
            return None  # it changed while it was read, or names other files than before: the next check handles it
        if isinstance(text, Unusable):
            return self._keep_for_unusable(text, seen=seen, forced=forced)
        return self._decide(snapshot, text, forced=forced)

    def _note_writing(self, now: float) -> None:
        if self._changing_since is None:
            self._changing_since = now
        if self._drift.drift is None and now - self._changing_since > WRITING_SECONDS:
            self._drift.begin(DriftReason.UNSETTLED, (self._file.problem("the rules file is being written"),))

    def _keep_for_unusable(self, found: Unusable, *, seen: bool, forced: bool) -> ReloadResult | None:
        drift, gone = self._drift.drift, found.why is DriftReason.GONE
        known = drift is not None and drift.why is found.why and (gone or drift.problems == (found.problem,))
        if known and not forced and (gone or seen):
            return None
        if gone and not known:
            log.warning("rules file is gone; the running rules stay", file=str(self._file.path))
        return self._keep(found.why, [found.problem], quietly=gone)

    def _decide(self, snapshot: Snapshot, text: RulesText, *, forced: bool) -> ReloadResult | None:
        running = self._current.ruleset
        found = text.hash
        folders = tuple((one.name, one.base_dir) for one in running.text.included)
        runs = (running.hash, running.text.base_dir, folders)
        is_running = (found, snapshot.folder, text.folders) == runs
        new_secrets = snapshot.secrets != self._secrets
        if not forced and is_running and all(snapshot.secrets.get(p) == s for p, s in running.secret_files.items()):
            self._note_unchanged()
            return None
        if not forced and found == self._refused_text and not new_secrets:
            return None
        # Garbage collection stays off until the loaded objects are frozen: its first round would walk all of them.
        with GC_PAUSED, resting_while_busy(self._busy):
            result = self._reload(text, snapshot.folder)
            freeze_garbage()
        # A text that the store could not record is tried again even if it is unchanged.
        final = isinstance(result, ReloadRefused) and result.why is not DriftReason.UNRECORDED
        self._refused_text = found if final else ""
        return result

    def _drifts_by(self, why: DriftReason) -> bool:
        return self._drift.drift is not None and self._drift.drift.why is why

    def _reload(self, text: RulesText, folder: str) -> ReloadResult:
        self._begun()
        vanished = self._vanished(text)
        if vanished:
            return self._keep(DriftReason.GONE, vanished)
        loaded = self._loader.load(text.main, str(self._file.path), Path(folder), text.included)
        self._secrets = {**self._current.ruleset.secret_files, **loaded.secret_files}
        if loaded.ruleset is None:
            why = DriftReason.SECRET if loaded.unset.issuperset(loaded.errors) else DriftReason.PROBLEMS
            return self._keep(why, loaded.errors, loaded.problems)
        try:
            self._prepare(loaded.ruleset)
        except RulesError as error:
            return self._keep(DriftReason.PROBLEMS, error.problems)
        except RouterError as error:
            again = self._drifts_by(DriftReason.UNRECORDED)
            self._recheck_at = time.monotonic() + RETRY_SECONDS
            return self._keep(DriftReason.UNRECORDED, [self._file.problem(str(error))], quietly=again)
        return self._swap(loaded, loaded.ruleset)

    def _vanished(self, text: RulesText) -> list[Problem]:
        """Included files that the running rules have and the file still names, but that no longer exist.

        An editor, a deployment or a mount may be the cause. The rules must not lose a part because of it.
        """
        before = {one.pattern for one in self._current.ruleset.text.included}
        now = {one.pattern for one in text.included}
        return [
            self._file.problem(f"include: {pattern} matches no file any more; put one back, or remove the line")
            for pattern in patterns_in(text.main)
            if pattern in before - now
        ]

    def _swap(self, loaded: Loaded, ruleset: Ruleset) -> Reloaded:
        change = compare(self._current.ruleset, ruleset)
        parts = self._current.ruleset.parts()
        self._current.ruleset = ruleset
        self._swapped(ruleset)
        self._secrets = dict(ruleset.secret_files)
        let_go(parts)
        for problem in loaded.warnings[:MAX_LOGGED]:
            log.warning("rules file has a doubtful place", problem=str(problem))
        log.info(
            "rules reloaded",
            file=str(self._file.path),
            hash=ruleset.hash[:12],
            rules=len(ruleset.rules),
            **change.fields(),
            unchanged=not change,
        )
        self._drift.end()
        try:
            self._applied(ruleset, change)
        except Exception:  # the new rules run, even if a callback fails
            log.exception("telling of a reload failed; the new rules run")
        return Reloaded(ruleset.hash, len(ruleset.rules), change, loaded.warnings)

    def _keep(
        self, why: DriftReason, problems: Sequence[Problem], listed: Sequence[Problem] = (), *, quietly: bool = False
    ) -> ReloadRefused:
        """Keep the running rules. `listed` adds warnings and notes. `quietly`: the problems are in the log already."""
        self._refused_text = ""  # if the text refused before comes back, the log reports it again
        if not quietly:
            for problem in problems[:MAX_LOGGED]:
                log.error("rules file has a problem", problem=str(problem))
            log.error(
                "rules not reloaded; the running rules stay",
                file=str(self._file.path),
                hash=self._current.ruleset.hash[:12],
                why=why.value,
                problems=len(problems),
            )
        refused = ReloadRefused(why, tuple(listed or problems), self._current.ruleset.hash)
        self._drift.begin(why, tuple(problems))
        self._refused(refused)
        return refused

    def _note_unchanged(self) -> None:
        """The file runs unchanged."""
        self._refused_text = ""
        drift = self._drift.drift
        if drift is not None and drift.why is not DriftReason.UNSETTLED:
            log.info("rules file is what runs again", file=str(self._file.path), was=drift.why.value)
        self._drift.end()
