"""Which rules a delivery's next attempt uses: the running ones if they still define its action."""

from router.domain.deliveries import Delivery, State
from router.rules.ruleset import Ruleset


def next_ruleset(delivery: Delivery, current: Ruleset) -> str | None:
    """The hash of those rules; None when there will be no further attempt. `delivery.definitions` decides by the same
    rule."""
    if delivery.state not in (State.PENDING, State.RUNNING):
        return None
    action = current.actions.get((delivery.rule, delivery.action))
    return current.hash if action is not None and action.action.type == delivery.type else delivery.ruleset
