"""Pauses, resumes and lists targets, for the `targets` commands and the API."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.domain.errors import RouterError
from router.domain.holds import HoldCause, HoldKind, Holds
from router.domain.nearest_word import did_you_mean, shortened
from router.domain.summaries import Depth
from router.operate.held import held_depths, pauses_json
from router.operate.patient_write import write_patiently
from router.operate.status import depth_json, note, waits_of
from router.operate.waits import Waits
from router.plugins.target import TargetSpec
from router.rules.ruleset import Ruleset
from router.store.contract import OperatorStore


class UnknownTarget(RouterError):
    """No action names this target, and no delivery waits for it; the message says what to do."""

    def __init__(self, name: str, cure: str) -> None:
        super().__init__(f'no target "{shortened(name)}" is known{cure}')
        self.cure = cure


class PausedByFile(RouterError):
    """Only the rules file pauses the target, so a command can't resume it."""


@dataclass(frozen=True, slots=True)
class TargetList:
    """The targets of the rules, those where deliveries wait or are dead, and those paused or with an open breaker."""

    specs: dict[str, TargetSpec]
    depths: dict[str, Depth]
    breakers: dict[str, Any]
    waits: Waits

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self.specs, *self.depths, *self.breakers})

    def depth(self, name: str) -> Depth:
        """What waits at a target."""
        return self.depths.get(name, Depth(name))

    def json(self, name: str, now: int) -> dict[str, Any]:
        """A target as `--json` prints it."""
        spec = self.specs.get(name)
        return {
            **depth_json(self.depth(name), self.breakers, self.waits, now),
            "defined": spec is not None,
            "concurrency": spec.concurrency if spec else None,
            "rate": spec.rate if spec else None,
        }


def read_targets(
    store: OperatorStore,
    ruleset: Ruleset | None,
    pid: int | None,
    now: int,
    depths: Iterable[Depth] | None = None,
) -> TargetList:
    """The targets now. Raises StoreError.

    `ruleset` is the running one or the last that ran; `pid` as in Status. `depths`: what waits, if already counted.
    """
    waits = waits_of(store, pid)
    counted = store.depths() if depths is None else depths
    found = {depth.target: depth for depth in held_depths(counted, waits.holds, now)}
    return TargetList(_specs(ruleset), found, note(store, "breakers"), waits)


def pause(store: OperatorStore, target: str, until: int | None, now: int) -> None:
    """Pause a target until a time (ms), or until it is resumed. Raises StoreError."""
    write_patiently(lambda: store.pause(target, until, now))


def resume(store: OperatorStore, target: str, now: int) -> bool:
    """End a pause by command; False if the target was not paused. Raises PausedByFile, StoreError."""
    resumed = write_patiently(lambda: store.resume(target, now))
    if not resumed and paused_by_file(store.holds(), target, now):
        raise PausedByFile(f"target {target} is paused by the rules file; remove its `paused: true` there")
    return resumed


def paused_by_file(holds: Holds, target: str, now: int) -> bool:
    """Whether the rules file pauses the target."""
    return any(hold.cause is HoldCause.FILE for hold in holds.on((HoldKind.TARGET, target), now))


def check_known(found: TargetList, ruleset: Ruleset | None, names: Iterable[str]) -> None:
    """Raise UnknownTarget for the first name that is not a target."""
    for name in names:
        if name not in found.names:
            raise UnknownTarget(name, _cure(found, ruleset, name))


def paused_json(store: OperatorStore, target: str, now: int) -> dict[str, Any]:
    """The state after a pause or resume, as `--json` prints it. Raises StoreError."""
    holds = store.holds()
    depths = {depth.target: depth for depth in held_depths(store.depths(), holds, now)}
    return {"target": target, "paused": pauses_json(target, holds, now), "held": depths.get(target, Depth(target)).held}


def _specs(ruleset: Ruleset | None) -> dict[str, TargetSpec]:
    if ruleset is None:
        return {}
    off = [action for rule in ruleset.rules for action in (*rule.actions, *rule.disabled_actions)]
    every = [*ruleset.actions.values(), *off, *ruleset.disabled_unmatched]
    return {**ruleset.targets, **{action.action.target.key: action.action.target for action in every}}


def _cure(found: TargetList, ruleset: Ruleset | None, name: str) -> str:
    rule, slash, action = name.rpartition("/")
    known = ruleset.actions.get((rule, action)) if ruleset is not None and slash else None
    if known is not None:
        return f'; this action goes to target "{known.action.target.key}"'
    return did_you_mean(name, found.names) or "; no rules ran on this store, and nothing waits in it"
