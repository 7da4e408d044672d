"""Makes own events of the daemon: reloads, a backlog, a full disk, and gathered notices."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from router.daemon.settings import TellBounds
from router.domain.errors import StoreError
from router.domain.own_events import KINDS, Gathered, shortened
from router.observe.logging.outage import Outage
from router.rules.notices import gathered_notice, notice
from router.rules.reload.drift import ReloadRefused
from router.rules.reload.ruleset_diff import RulesetDiff
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.contract import Store

SWEEP_SECONDS = 5.0  #: between two searches for gathered notices, which wait ten minutes
LOOK_SECONDS = 60.0  #: between two checks of the backlog and the disk
RECOVERED = 1.1  #: how far free space must be above the limit before the disk is reported again
_MOST_PROBLEMS = 10  #: in one payload
_STEP_SECONDS = 60.0  #: limit of one write

log = structlog.get_logger()


@dataclass(slots=True)
class OwnEvents:
    """`start` and `stop` belong to one thread; `reloaded` and `refused` to the one that reloads."""

    store: Store
    current: CurrentRuleset
    file: str  #: the rules file, as it is shown
    now_ms: Callable[[], int]
    bounds: TellBounds = field(default_factory=TellBounds)
    _old: set[str] = field(default_factory=set)  #: targets whose backlog was reported
    _low: bool = False  #: whether the disk was reported
    _outage: Outage = field(default_factory=Outage)  #: of the store
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread that looks for them."""
        self._thread = threading.Thread(target=self._run, name="own-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Call it before the store closes."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)

    def reloaded(self, ruleset: Ruleset, change: RulesetDiff) -> None:
        """Tell that changed rules run."""
        if change:
            facts = {"file": self.file, "hash": ruleset.hash[:12], **change.fields()}
            self._tell("rules.reloaded", "rules", {"rules": facts})

    def refused(self, refused: ReloadRefused) -> None:
        """Tell that the rules file can't be loaded."""
        problems = [shortened(str(problem)) for problem in refused.problems[:_MOST_PROBLEMS]]
        facts = {"file": self.file, "hash": refused.hash[:12], "why": refused.why.value, "problems": problems}
        self._tell("rules.refused", "rules", {"rules": facts})

    def _run(self) -> None:
        look_at = time.monotonic()
        while not self._stopping.is_set():
            try:
                self.sweep()
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_SECONDS
                    self.look()
                self._outage.over()
            except (StoreError, TimeoutError) as error:
                if failures := self._outage.failed(time.monotonic()):
                    why = str(error) or "the store is busy"
                    log.warning(
                        "own events can't be stored at the moment; it will be tried again", error=why, failures=failures
                    )
            self._stopping.wait(SWEEP_SECONDS)

    def sweep(self) -> None:
        """Tell the gathered notices. Raises StoreError, TimeoutError."""
        for gathered in self.store.gathered(self.now_ms()):
            self._tell_gathered(gathered)

    def look(self) -> None:
        """Look at the backlog and the disk. Raises StoreError."""
        if self.current.ruleset.hears_itself:
            self._look_at_backlog()
            self._look_at_disk()

    def _tell_gathered(self, gathered: Gathered) -> None:
        now = self.now_ms()
        made = None
        if gathered.count and gathered.kind in KINDS:
            made = gathered_notice(self.current.ruleset, gathered, now)
        told = self.store.tell_gathered(gathered, made, now).result(_STEP_SECONDS)
        if told and made is not None:
            _log(made.kind, made.subject, made.event.id, gathered.count)

    def _look_at_backlog(self) -> None:
        now = self.now_ms()
        old: set[str] = set()
        for depth in self.store.depths():
            if depth.oldest_at is None or now - depth.oldest_at < self.bounds.backlog * 1000:
                continue
            old.add(depth.target)
            if depth.target not in self._old:
                seconds = (now - depth.oldest_at) // 1000
                target = {"name": depth.target, "oldest_seconds": seconds, "waiting": depth.due + depth.blocked}
                self._tell("backlog.old", depth.target, {"target": target})
        self._old = old

    def _look_at_disk(self) -> None:
        free = self.store.size().free
        if free is None:  # the database server watches its own disk
            return
        if free < self.bounds.disk and not self._low:
            self._tell("disk.low", "store", {"disk": {"store": self.store.location, "free_bytes": free}})
        self._low = free < self.bounds.disk * (RECOVERED if self._low else 1)

    def _tell(self, kind: str, subject: str, facts: Mapping[str, Any]) -> None:
        made = notice(self.current.ruleset, kind, subject, facts, self.now_ms())
        if made is None:
            return
        try:
            if self.store.tell(made).result(_STEP_SECONDS):
                _log(kind, subject, made.event.id, 1)
        except (StoreError, TimeoutError) as error:
            log.warning(
                "own event can't be stored", kind=kind, subject=subject, error=str(error) or "the store is busy"
            )


def _log(kind: str, subject: str, event_id: str, count: int) -> None:
    log.info("own event", kind=kind, subject=subject, event_id=event_id, count=count)
