"""What a pending delivery waits for, and until when if that is known.

Order, group and times are read from the delivery; rate, breaker and concurrency from what the daemon noted
(router/delivery/wait_notes.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.domain.deliveries import Delivery, State
from router.domain.holds import Hold, HoldKind, Holds
from router.domain.summaries import Depth
from router.domain.target_state import Wait
from router.operate.parse_time import LAST_MS


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reason, and when (ms) it ends."""

    reason: Wait
    until: int | None = None
    hold: Hold | None = None  #: what holds it, when the reason is paused or disabled


@dataclass(frozen=True, slots=True)
class Waits:
    """What is held, and the targets' waits as the running daemon noted them."""

    noted: Mapping[str, Any]  #: by target, {for, until}; empty when no daemon runs
    holds: Holds = field(default_factory=Holds)
    running: bool = True  #: whether a daemon runs

    def of(self, delivery: Delivery, now: int) -> Waiting | None:
        """What a delivery waits for; None when it is not pending or no reason is known.

        Without a reason the daemon claims it at its next check, or no daemon runs.
        """
        if delivery.state is not State.PENDING:
            return None
        hold = self.holds.of(delivery.target, delivery.rule, delivery.action, now)
        if hold is not None:
            return _held(hold)
        if delivery.blocked:
            return Waiting(Wait.ORDER)
        if delivery.behind:
            return Waiting(Wait.LATEST)
        if delivery.next_attempt_at > now:
            begun = delivery.latest_key is None or delivery.attempts or delivery.interruptions
            return Waiting(Wait.RETRY if begun else Wait.WAIT, delivery.next_attempt_at)
        return self.at(delivery.target, now)

    def at_depth(self, depth: Depth, now: int) -> Waiting | None:
        """What the deliveries at a target wait for."""
        hold = self.holds.of(depth.target, "", "", now)
        if hold is not None:
            return _held(hold)
        if depth.due:
            return self.at(depth.target, now)
        return Waiting(Wait.DISABLED) if depth.held else None

    def at(self, target: str, now: int) -> Waiting | None:
        """What the due deliveries of a target wait for."""
        noted = self.noted.get(target)
        if not isinstance(noted, dict) or noted.get("for") not in list(Wait):
            return None
        until = noted.get("until")
        known = isinstance(until, int) and 0 <= until <= LAST_MS
        if isinstance(until, int) and until <= now:
            return None  # it is over; the daemon writes a new note within a second
        return Waiting(Wait(noted["for"]), until if known else None)


def _held(hold: Hold) -> Waiting:
    return Waiting(Wait.PAUSED if hold.kind is HoldKind.TARGET else Wait.DISABLED, hold.until, hold)


def waits_from(notes: Mapping[str, Mapping[str, Any]], holds: Holds, *, running: bool) -> Waits:
    """The waits in the daemon's notes. The notes of a daemon that has ended are ignored."""
    return Waits(notes.get("waits", {}) if running else {}, holds, running=running)
