"""Reports which rules run, after a start and after each reload: log, metrics, systemd, and a note in the store."""

import shlex
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from router.admin.metrics.expiry import MetricExpiry
from router.daemon.own_events import OwnEvents
from router.daemon.settings import Settings
from router.daemon.source_log import SourceLog
from router.daemon.status_notes import note_rules, wait_for_note
from router.daemon.systemd import Systemd
from router.daemon.wall_clock import now_ms
from router.observe.metrics import Metrics
from router.rules.reload.drift import Drift, ReloadRefused
from router.rules.reload.ruleset_diff import MOST_NAMES, RulesetDiff
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.store.contract import Store

log = structlog.get_logger()


@dataclass(slots=True)
class RulesReports:
    """`started` belongs to the thread that starts the daemon, all else to the one that reloads."""

    settings: Settings
    current: CurrentRuleset
    store: Store
    metrics: Metrics
    expiry: MetricExpiry
    systemd: Systemd
    sources: SourceLog
    own_events: OwnEvents
    processes: Callable[[], tuple[int, int]] = field(default=lambda: (1, 1))  #: how many serve, and how many should
    polls_changed: Callable[[], None] = field(default=lambda: None)
    loaded_at: int = 0  #: ms
    drift: Drift | None = field(default=None)  #: None: the rules file runs

    def started(self) -> None:
        """Report the rules of the start, before the daemon serves."""
        self.loaded_at = now_ms()
        self.metrics.loaded(self.loaded_at)
        wait_for_note(self._note(None))

    def applied(self, ruleset: Ruleset, change: RulesetDiff) -> None:
        """Report an applied reload."""
        self.drift = None
        self.polls_changed()
        self.systemd.ready(self.status())
        self.loaded_at = now_ms()
        self.metrics.reloaded(self.loaded_at)
        self.expiry.forget(self.metrics.counted(), time.monotonic())
        self._note(None)
        self.sources.log_changes(ruleset)
        self._warn_of_removed(change)
        self.own_events.reloaded(ruleset, change)

    def refused(self, refused: ReloadRefused) -> None:
        """Report a refused reload. The earlier rules stay."""
        self.metrics.refused()
        self.systemd.ready(self.status())
        self.own_events.refused(refused)

    def drifted(self, drift: Drift | None) -> None:
        """Report that the rules file differs from the running rules, or agrees with them again."""
        self.drift = drift
        if drift is None:
            self.metrics.agreed()
        self._note(drift)
        self.systemd.status(self.status())

    def status(self) -> str:
        """The line that `systemctl status` shows."""
        ruleset, drift = self.current.ruleset, self.drift
        words = f"serving on {self.sources.listen}, {len(ruleset.rules)} rules, hash {ruleset.hash[:12]}"
        serving, wanted = self.processes()
        if serving < wanted:
            words += f"; {serving} of {wanted} intake processes serve"
        return f"{words}; the rules file is not what runs: {drift.problems[0]}" if drift else words

    def _note(self, drift: Drift | None) -> "Future[None]":
        return note_rules(self.store, self.current.ruleset, self.settings.rules, self.loaded_at, drift)

    def _warn_of_removed(self, change: RulesetDiff) -> None:
        waiting = self.store.waiting(change.removed)
        for rule, count in list(waiting.items())[:MOST_NAMES]:
            log.warning(
                "removed rule still has deliveries; they follow its recorded text",
                rule=rule,
                deliveries=count,
                cancel=f"webhook-router deliveries cancel --rule {shlex.quote(rule)}",
            )
        if len(waiting) > MOST_NAMES:
            rest = list(waiting.values())[MOST_NAMES:]
            log.warning("further removed rules still have deliveries", rules=len(rest), deliveries=sum(rest))
