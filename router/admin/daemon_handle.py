"""The parts of the daemon that the admin listener needs."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from router.admin.reading import Reading, answered_here
from router.domain.errors import Problem
from router.domain.events import Event
from router.domain.reply import Reply
from router.operate.explain_event import Compile, ExplainedEvent, explain_event
from router.operate.hidden_explanation import without_values
from router.operate.hiding import HIDDEN, hiding
from router.operate.recent_counts import RecentCounts
from router.rules.compile.loader import Loaded, Loader
from router.rules.reload.drift import Reloaded, ReloadRefused
from router.rules.ruleset import Ruleset
from router.store.contract import OperatorStore


@dataclass(frozen=True, slots=True)
class DaemonHandle:
    """The daemon. Any thread may call its functions."""

    store: OperatorStore
    rules: Path  #: the rules file
    ruleset: Callable[[], Ruleset]  #: the current ruleset
    loader: Loader  #: for rules that are only checked: an unset secret is a note
    reload: Callable[[float], Reloaded | ReloadRefused]  #: waits this many seconds for the result
    metrics: Callable[[str], Reply]  #: takes the Accept header of a scrape
    checks: Callable[[], Mapping[str, bool]]  #: by name; the daemon is ready when all are true
    busy: Callable[[], bool]  #: whether events are arriving
    stopping: Callable[[], bool]
    now_ms: Callable[[], int]
    elsewhere: Callable[[Reading], Reply | None] = answered_here  #: the answer of another process; None: answer here
    pid: int = field(default_factory=os.getpid)  #: of the daemon
    counts: RecentCounts = field(default_factory=RecentCounts)  #: for views
    whole: OperatorStore | None = None  #: the store with all payloads, if `store` hides some; used only for verdicts
    changing: threading.Lock = field(default_factory=threading.Lock)  #: one replay, cancel or reroute at a time
    checking: threading.Lock = field(default_factory=threading.Lock)  #: one rules file at a time

    @property
    def is_for_reader(self) -> bool:
        """Whether it hides payloads, for the read-only token."""
        return self.whole is not None

    @property
    def for_reader(self) -> "DaemonHandle":
        """A copy for the read-only token: without the payloads that sources hide."""
        if self.whole is not None:
            return self
        return replace(self, store=hiding(self.store, self._path_shown), whole=self.store)

    def hides(self, source: str) -> bool:
        """Whether the payloads of a source are hidden from the read-only token.

        Payloads of a source that the rules no longer have are hidden: nothing says any more that they may be seen.
        """
        found = self.ruleset().source(source)
        return found is None or not found.show_payloads

    def _path_shown(self, source: str) -> str | None:
        """The source's path in place of a hidden path, whose parts may come from the sender."""
        if not self.hides(source):
            return None
        found = self.ruleset().source(source)
        return HIDDEN if found is None else found.path

    def hidden_sources(self) -> list[str]:
        """The sources of the rules whose payloads this handle hides."""
        return [] if self.whole is None else sorted(filter(self.hides, self.ruleset().sources))

    def shown_problems(self, loaded: Loaded) -> tuple[Problem, ...]:
        """The problems of a checked text. The read-only token sees only errors: notes and warnings tell which files and
        variables this machine has, and its holder could ask for each."""
        return loaded.errors if self.is_for_reader else loaded.problems

    def explain(self, event: Event, compiled: Compile, *, now: bool, most: int) -> ExplainedEvent:
        """Explain an event of `store`, without values if they are hidden. Raises StoreError, PayloadError."""
        if event.hidden_size is None:
            return explain_event(self.store, event, self.ruleset(), compiled, now=now, most=most)
        whole = self.whole or self.store
        found = whole.event(event.id) or event
        return without_values(explain_event(whole, found, self.ruleset(), compiled, now=now, most=most))
