"""What a pending delivery waits for, and until when where that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.domain.deliveries import Delivery, State
from router.domain.target_state import Wait
from router.operate.parse_time import LAST_MS


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reason, and when (ms) it ends."""

    reason: Wait
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """What a daemon said of its targets; without one that runs, nothing."""

    noted: Mapping[str, Any]

    def of(self, delivery: Delivery, now: int) -> Waiting | None:
        """What a delivery waits for; none when it is not pending, or its turn comes at once."""
        if delivery.state is not State.PENDING:
            return None
        if delivery.blocked:
            return Waiting(Wait.ORDER)
        if delivery.next_attempt_at > now:
            return Waiting(Wait.RETRY, delivery.next_attempt_at)
        return self.at(delivery.target, now)

    def at(self, target: str, now: int) -> Waiting | None:
        """What the due deliveries of a target wait for."""
        noted = self.noted.get(target)
        if not isinstance(noted, dict) or noted.get("for") not in list(Wait):
            return None
        until = noted.get("until")
        known = isinstance(until, int) and 0 <= until <= LAST_MS
        if isinstance(until, int) and until <= now:
            return None  # over; a new word comes within a second
        return Waiting(Wait(noted["for"]), until if known else None)


def waits(notes: Mapping[str, Mapping[str, Any]], *, running: bool) -> Waits:
    """From the daemon's notes; those of a daemon that has ended say nothing of now."""
    return Waits(notes.get("waits", {}) if running else {})
