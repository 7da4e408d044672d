"""Says in a sentence what a delivery waits for, and when it continues."""

from router.domain.deliveries import Delivery, State
from router.domain.groups import SkipReason
from router.domain.target_state import Wait
from router.operate.held import hold_words
from router.operate.waits import Waiting

_SHORT = {
    Wait.PAUSED: "its target is paused",
    Wait.DISABLED: "its rule or action is disabled",
    Wait.ORDER: "an earlier one of its order",
    Wait.LATEST: "the running one of its group",
    Wait.WAIT: "its action's wait",
    Wait.RETRY: "its next try",
    Wait.RATE: "the target's rate",
    Wait.BREAKER: "the target's breaker",
    Wait.CONCURRENCY: "a free place at the target",
}


def short_reason(waiting: Waiting) -> str:
    """The reason in few words, for a table."""
    return _SHORT[waiting.reason]


def wait_sentence(d: Delivery, waiting: Waiting | None) -> str:
    """Why a pending delivery waits, and what ends the wait. The time of that is in `waiting`."""
    if waiting is None:
        return "It is due: the daemon claims it at its next check."
    if waiting.hold is not None:
        cure = "resume the target" if waiting.reason is Wait.PAUSED else "enable it in the rules file"
        return f"It is held: {hold_words(waiting.hold)}. To let it go, {cure}."
    return {
        Wait.PAUSED: "It is held: its target is paused.",
        Wait.DISABLED: "It is held: its rule or action is disabled.",
        Wait.ORDER: "It waits for its turn: an earlier delivery with the same order key has to end first.",
        Wait.LATEST: "It waits for a running attempt: an earlier delivery of its group has to end first.",
        Wait.WAIT: "It waits for the `wait` of its action. Until then a newer event of its group may replace it.",
        Wait.RETRY: f"It waits for its next try, after {d.attempts} failed {'one' if d.attempts == 1 else 'ones'}.",
        Wait.RATE: f"It waits for the rate of target {d.target}: no further attempt may start at the moment.",
        Wait.BREAKER: f"It waits for the breaker of target {d.target}, which keeps failing: "
        "after a pause one attempt tests it.",
        Wait.CONCURRENCY: f"It waits for a free place: target {d.target} has as many attempts as it may.",
    }[waiting.reason]


def skip_sentence(d: Delivery) -> str:
    """Why a delivery is skipped; empty for others."""
    if d.state is not State.SKIPPED:
        return ""
    return f"It was skipped: {'a newer' if d.skip_reason is SkipReason.NEWER else 'an earlier'} delivery replaces it."
