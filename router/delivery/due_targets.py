"""Which targets have due deliveries, and which of them accept an attempt now."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from router.delivery.holding import Holding
from router.delivery.targets import Targets
from router.domain.target_state import Wait
from router.rules.ruleset import CurrentRuleset

SHORTEST_PAUSE = 0.005  #: seconds between two looks while nothing can be claimed; it bounds what looking costs
RESCAN_SECONDS = 1.0  #: between two checks for due deliveries that no commit of this process announced

log = structlog.get_logger()


@dataclass(slots=True)
class DueNow:
    """The state of the due targets at one moment."""

    pause: float = RESCAN_SECONDS  #: seconds until there may be more to do
    free_slots: dict[str, int] = field(default_factory=dict)  #: of targets with due deliveries
    waits: dict[str, tuple[Wait, float | None]] = field(default_factory=dict)  #: of targets that accept nothing now


class DueTargets:
    """Remembers when each target has its first due delivery. Belongs to the delivery loop."""

    def __init__(self, current: CurrentRuleset, targets: Targets, types: Iterable[str]) -> None:
        """`types`: the action types that are delivered here; empty: all."""
        self._current = current
        self._targets = targets
        self._types = frozenset(types)
        self._at: dict[str, int] = {}  #: by target: when (ms) the first of its deliveries is due
        self._verbose: bool = log.is_enabled_for(logging.DEBUG)  # asked once: it costs more than most lines

    def remember(self, due: Mapping[str, int], *, known: bool = False) -> None:
        """Targets with deliveries that are due at these times (ms). `known`: this node delivers to all of them."""
        for target, at in due.items():
            if self._types and not known and not self.delivers(target):
                continue
            self._at[target] = min(at, self._at.get(target, at))

    def forget(self, targets: Iterable[str]) -> None:
        """Forget targets whose deliveries are about to be claimed."""
        for target in targets:
            del self._at[target]

    def delivers(self, target: str) -> bool:
        """Whether this node delivers to the target, by the current rules."""
        if not self._types:
            return True
        actions = self._current.ruleset.actions.values()
        known = {action.action.type for action in actions if action.action.target.key == target}
        return bool(known & self._types) if known else target in self._at

    def now(self, now: int, clock: float, holding: Holding) -> DueNow:
        """The state at `now` (ms), which is `clock` in monotonic seconds."""
        found = DueNow()
        for key, at in self._at.items():
            target = self._targets.get(key, clock)
            target.tests = self._targets.tests(key)
            if at > now:
                found.pause = min(found.pause, (at - now) / 1000)
            elif holding.any and (paused := holding.paused_for(key, now)) != 0:
                found.pause = found.pause if paused is None else min(found.pause, paused)
            elif free := target.free(clock):
                found.free_slots[key] = free
            else:
                seconds = target.free_in(clock)
                if (wait := target.waits(clock)) is not None:
                    found.waits[key] = wait
                if self._verbose:
                    breaker, running = target.breaker.state.value, target.running
                    log.debug("target takes nothing now", target=key, running=running, breaker=breaker, seconds=seconds)
                found.pause = found.pause if seconds is None else min(found.pause, seconds)
        found.pause = max(found.pause, SHORTEST_PAUSE)
        return found
