"""Replay and cancel: which deliveries each may change, and why a delivery stays unchanged."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from router.domain.deliveries import Delivery, State
from router.domain.holds import Hold
from router.operate.held import hold_words
from router.store.contract import OperatorStore


@dataclass(frozen=True)
class DeliveryOperation:
    """Replay or cancel."""

    name: str
    past: str  #: for messages and JSON, such as `replayed`
    doing: str  #: for the progress bar, such as `replaying`
    allowed: frozenset[State]  #: states in which a delivery can be changed
    newest_first: bool
    apply: Callable[
        [OperatorStore, Sequence[str], int], "Future[list[str]]"
    ]  #: store, ids, now (ms); returns the changed ids
    states_by_id: tuple[State, ...]  #: changed by default when the request names ids
    states_by_filter: tuple[State, ...]  #: changed by default when the request gives a filter

    def reason_to_skip(
        self, d: Delivery, states: Sequence[State], state_syntax: str, hold: Hold | None = None
    ) -> str | None:
        """Why this delivery stays unchanged; `hold` is what holds it. None: it can be changed.

        `state_syntax` is how a request names a state, such as `--state {}`.
        """
        if d.state not in self.allowed:
            return _NOT_ALLOWED[self.name, d.state]
        if self.name == "replay" and hold is not None and d.state is State.PENDING:
            return f"it is held, since {hold_words(hold)}, and continues when that ends"
        if self.name == "replay" and d.blocked:
            return "it waits for an earlier delivery of its order, and begins after it"
        if self.name == "replay" and d.behind:
            return "it waits for a running attempt of an earlier delivery with the same latest_by value"
        if d.state not in states:
            return f"it is {d.state}; {state_syntax.format(d.state)} would {self.name} it all the same"
        return None


REPLAY = DeliveryOperation(
    "replay",
    "replayed",
    "replaying",
    frozenset(State) - {State.RUNNING},
    newest_first=False,
    apply=lambda store, ids, now: store.replay(ids, now),
    states_by_id=(State.PENDING, State.DEAD, State.CANCELLED),
    states_by_filter=(State.DEAD,),
)
CANCEL = DeliveryOperation(
    "cancel",
    "cancelled",
    "cancelling",
    frozenset({State.PENDING, State.RUNNING, State.DEAD}),
    newest_first=True,  # cancelling the first delivery of an order would let the daemon begin the next one
    apply=lambda store, ids, now: store.cancel(ids, now),
    states_by_id=(State.PENDING, State.RUNNING, State.DEAD),
    states_by_filter=(State.PENDING,),
)
_NOT_ALLOWED = {
    ("replay", State.RUNNING): "an attempt is under way, or was when the daemon ended: the next start continues it",
    ("cancel", State.SUCCEEDED): "it has succeeded",
    ("cancel", State.CANCELLED): "it is cancelled already",
    ("cancel", State.SKIPPED): "it is skipped: another one replaces it",
}
