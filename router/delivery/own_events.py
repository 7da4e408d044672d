"""Makes own events of attempts: a delivery is dead, a target is down, a target is up again."""

from collections.abc import Callable
from enum import Enum

from router.domain.deliveries import Claim, Settlement, State
from router.domain.outcomes import OutcomeKind
from router.domain.own_events import Notice, died, is_own, shortened
from router.rules.notices import notice
from router.rules.ruleset import CurrentRuleset


class TargetChange(Enum):
    """A change of a target's state that an attempt caused."""

    DOWN = "target.down"
    UP = "target.up"


class OwnEvents:
    """Belongs to the delivery loop."""

    def __init__(self, current: CurrentRuleset, now_ms: Callable[[], int]) -> None:
        self._current = current
        self._now_ms = now_ms

    def of(self, claim: Claim, done: Settlement, change: TargetChange | None, down_seconds: float) -> list[Notice]:
        """The notices to store with an ended attempt. A delivery of an own event makes none, or they never end."""
        ruleset, delivery, event = self._current.ruleset, claim.delivery, claim.event
        if (done.state is not State.DEAD and change is None) or not ruleset.hears_itself or is_own(event):
            return []
        found: list[Notice | None] = []
        now = self._now_ms()
        if done.state is State.DEAD:
            subject, facts = died(
                delivery_id=delivery.id,
                rule=delivery.rule,
                action=delivery.action,
                type_=delivery.type,
                target=delivery.target,
                attempts=delivery.attempts + (done.outcome.kind is not OutcomeKind.INTERRUPTED),
                error=done.outcome.error,
                created_at=delivery.created_at,
                event_id=event.id,
                source=event.source,
            )
            found.append(notice(ruleset, "delivery.dead", subject, facts, now))
        if change is not None:
            target: dict[str, object] = {"name": delivery.target}
            if change is TargetChange.DOWN:
                target["error"] = shortened(done.outcome.error)
            else:
                target["down_seconds"] = round(down_seconds)
            found.append(notice(ruleset, change.value, delivery.target, {"target": target}, now))
        return [one for one in found if one is not None]
