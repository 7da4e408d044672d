"""When one source is polled next, in this process."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.domain.polls import PollState
from router.intake.poll.spec import PollSpec
from router.intake.poll.timing import RETRY_AFTER_SECONDS, backoff_seconds, wait_seconds

STORE_SECONDS = 2.0  #: pause after the store could not be read or written


@dataclass(slots=True)
class PollTimer:
    """The timer of one source; monotonic times."""

    due: float
    ended: float = 0.0  #: the end of the last poll in this process; 0 before the first
    settings: Mapping[str, Any] = field(default_factory=dict)
    led: bool = False  #: whether this node polls the source
    asked: bool = False  #: whether the service was asked in this turn
    unstored: int = 0  #: polls in a row whose answer could not be stored

    def lead(self, spec: PollSpec, state: PollState | None, now_ms: int) -> None:
        """This node polls the source from now on. `state` is the stored one."""
        self.due = max(self.due, time.monotonic() + _left(spec, state, now_ms))
        self.led, self.settings = True, spec.settings

    def follow(self, spec: PollSpec) -> None:
        """Apply a changed `every` at once. Any other change makes the source be polled now."""
        before, self.settings = self.settings, spec.settings
        if not before or before == spec.settings:  # none: this node has not polled the source yet
            return
        is_interval = {**before, "every": 0} == {**spec.settings, "every": 0}
        began = self.ended or time.monotonic()
        self.due = min(began + wait_seconds(spec.every), time.monotonic() + spec.every) if is_interval else 0.0

    def polled(self, wait: float) -> None:
        """A poll ended, and its result is stored. The next one follows after `wait` seconds."""
        self.unstored = 0
        self.ended = time.monotonic()
        self.due = self.ended + wait

    def not_stored(self, spec: PollSpec) -> None:
        """The store failed: read its state again after a pause."""
        self.led = False
        self.due = time.monotonic() + self._store_wait(spec)

    def _store_wait(self, spec: PollSpec) -> float:
        """How long to wait for the store. The service should not be asked for answers that can't be stored."""
        if not self.asked:
            return STORE_SECONDS
        self.unstored += 1
        return max(STORE_SECONDS, backoff_seconds(spec.every, self.unstored, None))


def _left(spec: PollSpec, state: PollState | None, now_ms: int) -> float:
    """How long to wait for the first poll in this process. A restart is no reason to poll at once."""
    if state is None or state.fingerprint != spec.fingerprint:
        return 0.0
    longest = spec.every
    if state.failures:  # at most as long as planned, whatever the clock says; a Retry-After outlasts a restart
        longest = min((state.next_at - state.polled_at) / 1000, max(spec.every, RETRY_AFTER_SECONDS))
    return min(longest, max(0.0, (state.next_at - now_ms) / 1000))
