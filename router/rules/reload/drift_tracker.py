"""Remembers that the rules file differs from the running rules, and repeats this in the log."""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from router.domain.errors import Problem
from router.rules.reload.drift import Drift, DriftReason

REMIND_SECONDS = 3600.0  #: between two such lines: few people read the log of last week

log = structlog.get_logger()


class DriftTracker:
    """Written by one thread; `drift` may be read by any. `changed` is called whenever `drift` changes."""

    def __init__(self, file: Path, changed: Callable[[Drift | None], None]) -> None:
        self.drift: Drift | None = None
        self._file = file
        self._changed = changed
        self._remind_at = 0.0  #: monotonic

    def begin(self, why: DriftReason, problems: tuple[Problem, ...]) -> None:
        """The file does not run, or for another reason than before."""
        before = self.drift
        self.drift = Drift(why, before.since if before is not None else time.time(), problems)
        if before is None:
            self._remind_at = time.monotonic() + REMIND_SECONDS
        if self.drift != before:
            self._changed(self.drift)

    def end(self) -> None:
        """The file runs."""
        if self.drift is not None:
            self.drift = None
            self._changed(None)

    def remind(self, now: float) -> None:
        """Log the drift again, once the last line is old enough."""
        drift = self.drift
        if drift is None or now < self._remind_at:
            return
        self._remind_at = now + REMIND_SECONDS
        log.warning(
            "rules file is not what runs",
            file=str(self._file),
            why=drift.why.value,
            minutes=round((time.time() - drift.since) / 60),
            problem=str(drift.problems[0]),
        )
