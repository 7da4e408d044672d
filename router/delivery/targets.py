"""The targets that deliveries go to: of the current rules, and of removed rules for which deliveries still wait."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import structlog

from router.delivery.own_events import TargetChange
from router.delivery.target import Target
from router.domain.target_state import BreakerState, TargetLoad
from router.plugins.target import TargetSpec
from router.rules.ruleset import CurrentRuleset
from router.store.contract import Store

BREAKERS_NOTE = "breakers"  #: the store's note of breakers that are not closed

log = structlog.get_logger()


class Targets:
    """Belongs to the delivery loop; only `loads` may be called from any thread."""

    def __init__(self, current: CurrentRuleset, store: Store, now_ms: Callable[[], int]) -> None:
        self._current = current
        self._store = store
        self._now_ms = now_ms
        self._targets: dict[str, Target] = {}
        self._specs: tuple[object, Mapping[str, TargetSpec]] = (None, {})
        self._last_claims: Mapping[str, int] = {}

    def loads(self) -> list[TargetLoad]:
        """How busy each target is: those of the current rules, and those that something was ever due for."""
        now = time.monotonic()
        # The copy is one step of the interpreter; each number is what it was at about this time.
        found = {target.spec.key: target.load(now) for target in list(self._targets.values())}
        for action in self._current.ruleset.actions.values():
            spec = action.action.target
            load = found.get(spec.key)
            if load is None:
                found[spec.key] = Target(spec, now).load(now)
            elif load.concurrency != spec.concurrency or load.rate != spec.rate:  # nothing was due since a reload
                found[spec.key] = replace(load, concurrency=spec.concurrency, rate=spec.rate)
        return list(found.values())

    def recall(self, last_claims: Mapping[str, int], breakers: Mapping[str, Any]) -> None:
        """Go on with the rates and breakers of the process before this one."""
        self._last_claims = last_claims
        known = self._current_specs()
        for key, note in breakers.items():
            if key in known and isinstance(note, dict):
                target = self.get(key, time.monotonic())
                target.breaker.resume(note, self._now_ms(), time.monotonic())
                target.told_down = target.breaker.state is not BreakerState.CLOSED
        self._note_breakers()

    def get(self, key: str, now: float) -> Target:
        """A target with the limits of the current rules; `now` in monotonic seconds."""
        # A target that the current rules don't name belongs to removed rules: one attempt at a time is always safe.
        spec = self._current_specs().get(key) or TargetSpec(key, concurrency=1)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = Target(spec, now)
            if (at := self._last_claims.get(key)) is not None:
                target.resume((self._now_ms() - at) / 1000)
        before = target.breaker.state
        target.follow(spec)
        if target.breaker.state is not before:
            self._note_breakers()
        return target

    def finish(self, target: Target, answered: bool | None, *, decides: bool, own: bool = False) -> TargetChange | None:
        """An attempt at the target ended; see Target.finish. Gives what the router has to tell of it.

        `own`: it was of an event of the router itself. Of the state that it leaves a later attempt tells, of another.
        """
        self._finish(target, answered, decides=decides)
        state = target.breaker.state
        if own or answered is None:
            return None
        if not answered and state is not BreakerState.CLOSED and not target.told_down:
            target.told_down = True
            return TargetChange.DOWN
        if answered and target.told_down:
            target.told_down = False
            return TargetChange.UP
        return None

    def _finish(self, target: Target, answered: bool | None, *, decides: bool) -> None:
        before = target.breaker.state
        target.finish(answered, time.monotonic(), decides=decides)
        after = target.breaker.state
        if after is before:
            return
        if after is BreakerState.CLOSED:
            log.info("target answers again", target=target.spec.key)
        elif before is BreakerState.CLOSED:
            failures, pause = target.breaker.failures, target.breaker.until - time.monotonic()
            log.warning(
                "target fails; its deliveries wait", target=target.spec.key, failures=failures, seconds=round(pause, 1)
            )
        self._note_breakers()

    def _note_breakers(self) -> None:
        """Tell the store of the breakers that are not closed, for `status` and for the next process."""
        now_ms, now = self._now_ms(), time.monotonic()
        found = {
            key: target.breaker.note(now_ms, now)
            for key, target in self._targets.items()
            if target.breaker.state is not BreakerState.CLOSED
        }
        # Nothing waits for the note: one that can't be written is as old as the rest of the store.
        self._store.put_note(BREAKERS_NOTE, orjson.dumps(found).decode())

    def _current_specs(self) -> Mapping[str, TargetSpec]:
        ruleset = self._current.ruleset
        if self._specs[0] is not ruleset:
            specs = {action.action.target.key: action.action.target for action in ruleset.actions.values()}
            self._specs = (ruleset, specs)
        return self._specs[1]
