"""The targets that deliveries go to: of the current rules, and of removed rules for which deliveries still wait."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import structlog

from router.delivery.own_events import TargetChange
from router.delivery.target import RESTART_SECONDS, Target
from router.delivery.wait_notes import parsed_note
from router.domain.target_state import BreakerState, TargetLoad
from router.plugins.target import TargetSpec
from router.rules.ruleset import CurrentRuleset
from router.store.contract import Store
from router.store.fleet import Limits, Share

BREAKERS_NOTE = "breakers"  #: the store's note of breakers that are not closed

log = structlog.get_logger()


class Targets:
    """Belongs to the delivery loop; only `loads` may be called from any thread."""

    def __init__(
        self,
        current: CurrentRuleset,
        store: Store,
        now_ms: Callable[[], int],
        tell: Callable[[str, str | None], None] | None = None,
    ) -> None:
        """`tell` is called with a target and its breaker, for the other nodes of a fleet; None: there are none."""
        self._tell = tell
        self._shares: Mapping[str, Share] = {}
        self._shared: dict[str, tuple[TargetSpec, Share | None, TargetSpec]] = {}  #: made of a spec and a share
        self._theirs: dict[str, str] = {}  #: breakers that are not closed, as told to or by the other nodes
        self._changed_at: dict[str, float] = {}  #: monotonic: when the breaker changed here
        self._current = current
        self._store = store
        self._now_ms = now_ms
        self._targets: dict[str, Target] = {}
        self._specs: tuple[object, Mapping[str, TargetSpec]] = (None, {})
        self._last_claims: Mapping[str, int] = {}

    def loads(self) -> list[TargetLoad]:
        """How busy each target is: those of the current rules, and those that something was ever due for."""
        now = time.monotonic()
        # Copying is one step of the interpreter. Each number is from about this time.
        found = {target.spec.key: target.load(now) for target in list(self._targets.values())}
        for action in self._current.ruleset.actions.values():
            spec = action.action.target
            load = found.get(spec.key)
            if load is None:
                found[spec.key] = Target(spec, now).load(now)
            elif load.concurrency != spec.concurrency or load.rate != spec.rate:  # no delivery was due since a reload
                found[spec.key] = replace(load, concurrency=spec.concurrency, rate=spec.rate)
        return list(found.values())

    def recall(self, last_claims: Mapping[str, int], breakers: Mapping[str, Any]) -> None:
        """Take over rates and breakers from the previous process."""
        self._last_claims = last_claims
        known = self._current_specs()
        for key, note in breakers.items():
            if key in known and isinstance(note, dict):
                target = self.get(key, time.monotonic())
                target.breaker.resume(note, self._now_ms(), time.monotonic())
                target.told_down = target.breaker.state is not BreakerState.CLOSED
        self._note_breakers()

    def may_take(self, key: str) -> bool:
        """Whether an attempt may start at the target now. Any thread may call it."""
        target = self._targets.get(key)
        if target is None:
            return self._tell is None or ((share := self._shares.get(key)) is not None and share.slots > 0)
        return target.has_room(time.monotonic())

    def get(self, key: str, now: float) -> Target:
        """A target with the limits of the current rules; `now` in monotonic seconds."""
        # A target outside the current rules belongs to removed rules: one attempt at a time is always safe.
        spec = self._current_specs().get(key) or TargetSpec(key, concurrency=1)
        if self._tell is not None:
            spec = self._shared_spec(key, spec)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = Target(spec, now)
            if (at := self._last_claims.get(key)) is not None:
                target.resume((self._now_ms() - at) / 1000)
        before = target.breaker.state
        target.follow(spec)
        if target.breaker.state is not before:
            self._note_breakers()
            self._tell_breaker(target)
        return target

    def finish(self, target: Target, answered: bool | None, *, decides: bool, own: bool = False) -> TargetChange | None:
        """An attempt at the target ended; see Target.finish. Returns the change that the router should report.

        `own`: it was about an event of the router itself. The change that it causes is reported by a later attempt
        about another event.
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
        self._tell_breaker(target)
        if after is BreakerState.CLOSED:
            log.info("target answers again", target=target.spec.key)
        elif before is BreakerState.CLOSED:
            failures, pause = target.breaker.failures, target.breaker.until - time.monotonic()
            log.warning(
                "target fails; its deliveries wait", target=target.spec.key, failures=failures, seconds=round(pause, 1)
            )
        self._note_breakers()

    def wanted_shares(
        self, delivers: Callable[[str], bool], claiming: Callable[[], Mapping[str, int]], *, sets_limits: bool
    ) -> dict[str, tuple[Limits | None, int]]:
        """What this node wants of the limits of its targets: see Fleet.share. `claiming` gives how many attempts may
        begin at each by a claim that is under way. Any thread may call it."""
        # In this order: the loop claims by the share that it has, and counts attempts as running before the claim ends.
        shares = self._shares
        claims = claiming()
        targets, specs = dict(self._targets), self._current_specs()
        found: dict[str, tuple[Limits | None, int]] = {}
        for key in {*specs, *targets}:
            target = targets.get(key)
            share = shares.get(key)
            held = claims.get(key, 0)
            held += target.running if target is not None else 0
            if delivers(key) or held:
                spec = specs.get(key) if sets_limits else None
                found[key] = (None if spec is None else _limits(spec), max(held, share.slots if share else 0))
        return found

    def take_shares(self, shares: Mapping[str, Share], last_claims: Mapping[str, int]) -> None:
        """Set this node's part of the limits, and when (ms) any node last claimed a delivery of each target."""
        before, self._shares = self._shares, shares
        self._last_claims = last_claims
        for key, share in shares.items():
            target = self._targets.get(key)
            gained = share.slots and not (before[key].slots if key in before else 0)
            if target is not None and gained and share.rate is not None:
                self.get(key, time.monotonic())
                target.resume((self._now_ms() - last_claims.get(key, self._now_ms())) / 1000)

    def take_breakers(self, breakers: Mapping[str, str], read_at: float) -> bool:
        """Use the breakers of other nodes that are not closed, read at that monotonic time. True: one has changed."""
        changed = False
        for key in {*breakers, *self._theirs}:
            text = breakers.get(key)
            if text == self._theirs.get(key) or self._changed_at.get(key, 0.0) >= read_at:
                continue
            target = self.get(key, time.monotonic())
            if text is None:
                del self._theirs[key]
                target.breaker.close()
                target.told_down = False
            else:
                self._theirs[key] = text
                target.breaker.resume(parsed_note(text), self._now_ms(), time.monotonic())
                target.told_down = True  # the node that found it has reported it
            self._note_breakers()
            changed = True
        return changed

    def _shared_spec(self, key: str, spec: TargetSpec) -> TargetSpec:
        share = self._shares.get(key)
        made = self._shared.get(key)
        if made is None or made[0] is not spec or made[1] != share:
            slots = 0 if share is None else share.slots
            rate = None if share is None else share.rate
            made = self._shared[key] = (spec, share, replace(spec, concurrency=slots, rate=rate))
        return made[2]

    def tests(self, key: str) -> bool:
        """Whether this node may test a target whose breaker is open."""
        share = self._shares.get(key)
        return self._tell is None or share is None or share.tests

    def _tell_breaker(self, target: Target) -> None:
        if self._tell is None:
            return
        key, breaker = target.spec.key, target.breaker
        self._changed_at[key] = time.monotonic()
        if breaker.state is BreakerState.HALF_OPEN:
            return
        if breaker.state is BreakerState.CLOSED:
            if self._theirs.pop(key, None) is not None:
                self._tell(key, None)
            return
        self._theirs[key] = orjson.dumps(breaker.note(self._now_ms(), time.monotonic())).decode()
        self._tell(key, self._theirs[key])

    def _note_breakers(self) -> None:
        """Store the breakers that are not closed, for `status` and for the next process."""
        now_ms, now = self._now_ms(), time.monotonic()
        found = {
            key: target.breaker.note(now_ms, now)
            for key, target in self._targets.items()
            if target.breaker.state is not BreakerState.CLOSED
        }
        # Nothing depends on the note: if it can't be written, it is as old as the rest of the store.
        self._store.put_note(BREAKERS_NOTE, orjson.dumps(found).decode())

    def _current_specs(self) -> Mapping[str, TargetSpec]:
        ruleset = self._current.ruleset
        if self._specs[0] is not ruleset:
            specs = {action.action.target.key: action.action.target for action in ruleset.actions.values()}
            self._specs = (ruleset, specs)
        return self._specs[1]


def _limits(spec: TargetSpec) -> Limits:
    return Limits(spec.concurrency, spec.rate, alone=spec.rate is not None and spec.rate * RESTART_SECONDS < 1)
