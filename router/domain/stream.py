"""Positions, events and ended attempts for followers of a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.domain.deliveries import Attempt, State
from router.domain.groups import SkipReason

Place = Mapping[int, int]
"""By writer: the number of the last one that was read; none was of a writer that it leaves out. Each writer commits in
the order of its numbers; several writers together do not."""


def has_passed(place: Place, writer: int, seq: int) -> bool:
    """Whether a reader at this place has read it."""
    return place.get(writer, 0) >= seq


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A position in the store's history, for a follower to go on from."""

    events: Place = field(default_factory=dict)  #: the last events before it
    ended: Place = field(default_factory=dict)  #: the last ends before it: of attempts, and of deliveries skipped


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event for a follower."""

    writer: int  #: the writer that committed it
    seq: int  #: in the order of that writer's commits
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

    writer: int  #: the writer that committed its end
    seq: int  #: in the order in which that writer committed ends
    event_writer: int  #: the writer that committed its event
    event: int  #: its event's seq
    event_id: str
    source: str
    delivery_id: str
    rule: str
    action: str
    type: str
    target: str
    state: State  #: the delivery's current state
    is_last: bool  #: the delivery has no later attempt
    attempt: Attempt  #: without its excerpt


@dataclass(frozen=True, slots=True)
class SkippedDelivery:
    """A delivery that was skipped, for a follower."""

    writer: int
    seq: int  #: in one order with ended attempts
    event_writer: int
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
    skipped_for: str  #: id of the delivery that replaces it


@dataclass(frozen=True, slots=True)
class EndedPage:
    """A page of ended attempts and skipped deliveries."""

    ends: tuple[EndedAttempt | SkippedDelivery, ...]  #: without pruned ones
    next_after: Place  #: the `after` of the next page
    more: bool  #: whether the next page may already have some
