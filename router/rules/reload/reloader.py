"""Notices that the rules file changed, and swaps in what it says, or keeps what runs and says why."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import structlog

from router.domain.errors import Problem, RouterError
from router.rules.compile.loader import Loaded, Loader
from router.rules.reload.drift import Drift, DriftReason, Reloaded, ReloadRefused
from router.rules.reload.file_stat import exists, is_open_for_writing
from router.rules.reload.open_writers import OpenWriters
from router.rules.reload.rules_file import RulesFile, Unusable, View, digest
from router.rules.reload.ruleset_diff import RulesetDiff, compare
from router.rules.ruleset import Current, Ruleset
from router.runtime.pacing import GC_PAUSED, freeze_garbage, let_go, resting_while_busy

POLL_SECONDS = 0.25  #: stat works for every way of saving and every file system, bind mounts too; it costs some 2 µs
NEAR_SECONDS = 0.05  #: from look to look while the file is changing
QUIET_SECONDS = 0.2  #: that a file must stay the same, once no program has it open for writing
UNTOLD_SECONDS = 1.0  #: the same where the system doesn't tell who has it open
HELD_SECONDS = 5.0  #: the same while a program has it open for writing: the longest pause of a slow writer
RECHECK_SECONDS = 3.0  #: after which a new text is read once more: some file systems count time by two seconds
RETRY_SECONDS = 10.0  #: until a text that the store could not take is tried again
REMIND_SECONDS = 3600.0  #: from line to line while the file is not what runs: nobody reads last week's log
WRITING_SECONDS = 2.0  #: of being written, after which `status` tells of it
MOST_PROBLEMS = 20  #: of one file that get a line of their own; `check` tells all

log = structlog.get_logger()

Answer = Reloaded | ReloadRefused
_UNSEEN = View((), "", {})  # equal to no look


class Reloader:
    """Watches one rules file, and the secret files it names, in a thread of its own.

    `reload_now`, `reload_soon`, `drift` and `alive` are for any thread, `reload_soon` for signal handlers too. The
    callbacks come from the reloader's thread: `prepare` is what must succeed before a new ruleset may run (its text is
    stored); `begun` comes before each load, then `applied` after the swap or `refused` when nothing changed; `drifted`
    whenever `drift` becomes another. While requests are `busy` a reload takes its time.
    """

    def __init__(
        self,
        path: Path,
        loader: Loader,
        current: Current,
        prepare: Callable[[Ruleset], None],
        applied: Callable[[Ruleset, RulesetDiff], None],
        *,
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
        self._refused = refused
        self._drifted = drifted
        self._begun = begun
        self._busy = busy
        self._wake = threading.Event()
        self._lock = threading.Lock()  # of the two that follow
        self._asked: list[Future[Answer]] = []
        self._ended = False
        self._forced = False
        self._stopping = False
        self._drift: Drift | None = None
        self._writers = OpenWriters()
        self._view = _UNSEEN  #: of the last look
        self._same_since = 0.0  #: monotonic, when the view was first seen
        self._moving_since: float | None = None  #: monotonic, when it was first seen to be another than the judged one
        self._judged = _UNSEEN  #: what the last decision was about; the first look always decides
        self._refused_text = ""  #: digest of the text that was refused last
        self._secrets = dict(current.ruleset.secret_files)  #: to look at, as they were when they were read last
        self._look_again_at: float | None = None  #: monotonic, whatever the look shows
        self._remind_at = 0.0
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
        """Why the file is not what runs, if so."""
        return self._drift

    def reload_soon(self) -> None:
        """Reload, changed or not: secret files are read again as well."""
        self._forced = True
        self._wake.set()

    def reload_now(self, timeout: float) -> Answer:
        """As `reload_soon`, and wait at most `timeout` seconds for what comes of it. Calls that meet share a reload."""
        answer: Future[Answer] = Future()
        with self._lock:
            if self._ended or self._stopping:
                return self._no(DriftReason.STOPPING, "the daemon stops; nothing was reloaded")
            self._asked.append(answer)
        self._wake.set()
        try:
            return answer.result(timeout)
        except TimeoutError:
            if self._moving_since is not None:
                return self._no(
                    DriftReason.UNSETTLED, "the rules file is still being written; ask again when it is saved"
                )
            return self._no(
                DriftReason.TIMEOUT, "the reload takes longer; it goes on, and `webhook-router status` tells its end"
            )

    def _no(self, why: DriftReason, message: str) -> ReloadRefused:
        return ReloadRefused(why, (self._file.problem(message),), self._current.ruleset.hash)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait(POLL_SECONDS if self._moving_since is None else NEAR_SECONDS)
                self._wake.clear()
                if not self._stopping:
                    self._turn()
        finally:  # however the thread ends, nobody may wait for it
            self._writers.close()
            with self._lock:
                self._ended = True
                asked, self._asked = self._asked, []
            for answer in asked:
                answer.set_result(self._no(DriftReason.STOPPING, "the daemon stops; nothing was reloaded"))

    def _turn(self) -> None:
        """Look, decide if there is something to decide, and answer those who asked for it."""
        with self._lock:
            asked = list(self._asked)
        forced = bool(asked) or self._forced
        try:
            answer = self._look(forced=forced)
        except Exception as error:
            again = self._drift is not None and self._drift.why is DriftReason.FAULT and not asked
            if not again:  # else the log would have it four times a second
                log.exception("watching the rules file failed; the running rules stay")
            self._moving_since, self._forced = None, False
            problem = self._file.problem(f"internal error ({type(error).__name__})")
            answer = self._keep(DriftReason.FAULT, [problem], quietly=again)
        if answer is None:
            return  # nothing to decide, or still being written
        with self._lock:
            self._asked = [one for one in self._asked if one not in asked]
        for one in asked:
            one.set_result(answer)

    def _look(self, *, forced: bool) -> Answer | None:
        self._writers.look([self._file.path, *self._secrets])
        view, now = self._file.look(list(self._secrets)), time.monotonic()
        if view != self._view:
            self._view, self._same_since = view, now
        due = self._look_again_at is not None and now >= self._look_again_at
        if view == self._judged and not forced and not due:
            self._moving_since = None
            self._remind(now)
            return None
        if view != self._judged and not self._is_settled(now):
            self._note_writing(now)
            return None
        self._moving_since = None
        self._forced = False
        seen = view == self._judged
        self._look_again_at = None if seen else now + RECHECK_SECONDS
        self._judged = view
        self._writers.taken()
        text = self._file.read()
        if self._file.look(list(self._secrets)) != view:
            self._judged, self._forced = _UNSEEN, self._forced or forced
            return None  # written meanwhile: the next look shows it
        if isinstance(text, Unusable):
            return self._pass_over(text, seen=seen, forced=forced)
        return self._decide(view, text, forced=forced)

    def _is_settled(self, now: float) -> bool:
        quiet = now - self._same_since
        if quiet < QUIET_SECONDS or quiet >= HELD_SECONDS:
            return quiet >= HELD_SECONDS
        moved = {self._file.path: self._view.file} if self._view.file != self._judged.file else {}
        moved |= {path: seen for path, seen in self._view.secrets.items() if seen != self._secrets.get(path)}
        written = [self._is_written(path) for path, seen in moved.items() if exists(seen)]
        return True not in written and (None not in written or quiet >= UNTOLD_SECONDS)

    def _is_written(self, path: Path) -> bool | None:
        told = is_open_for_writing(path)
        return self._writers.writes(path) if told is None else told

    def _note_writing(self, now: float) -> None:
        if self._moving_since is None:
            self._moving_since = now
        if self._drift is None and now - self._moving_since > WRITING_SECONDS:
            self._drift_to(DriftReason.UNSETTLED, (self._file.problem("the rules file is being written"),))

    def _pass_over(self, found: Unusable, *, seen: bool, forced: bool) -> Answer | None:
        drift, gone = self._drift, found.why is DriftReason.GONE
        told = drift is not None and drift.why is found.why and (gone or drift.problems == (found.problem,))
        if told and not forced and (gone or seen):
            return None
        if gone and not told:
            log.warning("rules file is gone; the running rules stay", file=str(self._file.path))
        return self._keep(found.why, [found.problem], quietly=gone)

    def _decide(self, view: View, text: bytes, *, forced: bool) -> Answer | None:
        running = self._current.ruleset
        found = digest(text)
        is_running = (found, view.folder) == (running.hash, running.text.base_dir)
        new_secrets = view.secrets != self._secrets
        if not forced and is_running and all(view.secrets.get(p) == s for p, s in running.secret_files.items()):
            self._settle()
            return None
        if not forced and found == self._refused_text and not new_secrets:
            return None
        # The collector stays off until what was loaded is set aside, or its first round would walk all of it.
        with GC_PAUSED, resting_while_busy(self._busy):
            answer = self._reload(text, view.folder)
            freeze_garbage()
        # What the store could not take is tried again as it is.
        tell_once = isinstance(answer, ReloadRefused) and answer.why is not DriftReason.UNRECORDED
        self._refused_text = found if tell_once else ""
        return answer

    def _reload(self, text: bytes, folder: str) -> Answer:
        self._begun()
        loaded = self._loader.load(text, str(self._file.path), Path(folder))
        self._secrets = {**self._current.ruleset.secret_files, **loaded.secret_files}
        if loaded.ruleset is None:
            why = DriftReason.SECRET if loaded.unset.issuperset(loaded.errors) else DriftReason.PROBLEMS
            return self._keep(why, loaded.errors, loaded.problems)
        try:
            self._prepare(loaded.ruleset)
        except RouterError as error:
            again = self._drift is not None and self._drift.why is DriftReason.UNRECORDED
            self._look_again_at = time.monotonic() + RETRY_SECONDS
            return self._keep(DriftReason.UNRECORDED, [self._file.problem(str(error))], quietly=again)
        return self._swap(loaded, loaded.ruleset)

    def _swap(self, loaded: Loaded, ruleset: Ruleset) -> Reloaded:
        change = compare(self._current.ruleset, ruleset)
        parts = self._current.ruleset.parts()
        self._current.ruleset = ruleset
        self._secrets = dict(ruleset.secret_files)
        let_go(parts)
        for problem in loaded.warnings[:MOST_PROBLEMS]:
            log.warning("rules file has a doubtful place", problem=str(problem))
        log.info(
            "rules reloaded",
            file=str(self._file.path),
            hash=ruleset.hash[:12],
            rules=len(ruleset.rules),
            **change.fields(),
            unchanged=not change,
        )
        self._drift_ends()
        try:
            self._applied(ruleset, change)
        except Exception:  # the new rules run, whatever becomes of what is told of them
            log.exception("telling of a reload failed; the new rules run")
        return Reloaded(ruleset.hash, len(ruleset.rules), change, loaded.warnings)

    def _keep(
        self, why: DriftReason, problems: Sequence[Problem], beside: Sequence[Problem] = (), *, quietly: bool = False
    ) -> ReloadRefused:
        """What runs stays; `beside`: these problems with warnings and notes; `quietly` when the log has it already."""
        self._refused_text = ""  # what was refused before is news again once it is back
        if not quietly:
            for problem in problems[:MOST_PROBLEMS]:
                log.error("rules file has a problem", problem=str(problem))
            log.error(
                "rules not reloaded; the running rules stay",
                file=str(self._file.path),
                hash=self._current.ruleset.hash[:12],
                why=why.value,
                problems=len(problems),
            )
        refused = ReloadRefused(why, tuple(beside or problems), self._current.ruleset.hash)
        self._drift_to(why, tuple(problems))
        self._refused(refused)
        return refused

    def _settle(self) -> None:
        """The file is what runs."""
        self._refused_text = ""
        if self._drift is not None and self._drift.why is not DriftReason.UNSETTLED:
            log.info("rules file is what runs again", file=str(self._file.path), was=self._drift.why.value)
        self._drift_ends()

    def _drift_to(self, why: DriftReason, problems: tuple[Problem, ...]) -> None:
        before = self._drift
        self._drift = Drift(why, before.since if before is not None else time.time(), problems)
        if before is None:
            self._remind_at = time.monotonic() + REMIND_SECONDS
        if self._drift != before:
            self._drifted(self._drift)

    def _drift_ends(self) -> None:
        if self._drift is not None:
            self._drift = None
            self._drifted(None)

    def _remind(self, now: float) -> None:
        drift = self._drift
        if drift is None or now < self._remind_at:
            return
        self._remind_at = now + REMIND_SECONDS
        log.warning(
            "rules file is not what runs",
            file=str(self._file.path),
            why=drift.why.value,
            minutes=round((time.time() - drift.since) / 60),
            problem=str(drift.problems[0]),
        )
