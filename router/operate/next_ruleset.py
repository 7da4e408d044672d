"""Which rules a delivery's next attempt goes by: the running ones where they still define its action."""

from router.domain.deliveries import Delivery, State
from router.rules.ruleset import Ruleset


def next_ruleset(delivery: Delivery, current: Ruleset) -> str | None:
    """Their hash; none when there is nothing more to attempt. As `delivery.definitions` decides it."""
    if delivery.state not in (State.PENDING, State.RUNNING):
        return None
    action = current.actions.get((delivery.rule, delivery.action))
    return current.hash if action is not None and action.action.type == delivery.type else delivery.ruleset
