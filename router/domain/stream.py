"""Positions, events and ended attempts for followers of a store."""

from dataclasses import dataclass

from router.domain.deliveries import Attempt, State
from router.domain.groups import SkipReason


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A position in the store's history, for a follower to go on from."""

    event: int = 0  #: seq of the last event before it
    ended: int = 0  #: number of the last end before it: of an attempt, or of a delivery that was skipped


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event for a follower."""

    seq: int  #: the store's commit order
    id: str
    source: str
    method: str
    path: str
    received_at: int  #: ms
    size: int  #: bytes of the body
    plan: tuple[tuple[str, str, str], ...]  #: (rule, action, target) of each delivery; empty: no rule matched


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An ended attempt for a follower."""

    seq: int  #: in the order in which the ends were committed
    event: int  #: its event's seq
    event_id: str
    source: str
    delivery_id: str
    rule: str
    action: str
    type: str
    target: str
    state: State  #: of the delivery, now
    is_last: bool  #: the delivery has no later attempt
    attempt: Attempt  #: without its excerpt


@dataclass(frozen=True, slots=True)
class SkippedDelivery:
    """A delivery that was skipped, for a follower."""

    seq: int  #: in the same order as ended attempts
    event: int  #: its event's seq
    event_id: str
    source: str
    delivery_id: str
    rule: str
    action: str
    type: str
    target: str
    at: int  #: ms
    reason: SkipReason
    skipped_for: str  #: id of the delivery that stands for it


@dataclass(frozen=True, slots=True)
class EndedPage:
    """A page of ended attempts and skipped deliveries."""

    ends: tuple[EndedAttempt | SkippedDelivery, ...]  #: without pruned ones
    next_after: int  #: the `after` of the next page
    more: bool  #: the next page may have some already
