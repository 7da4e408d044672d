"""What is asked of a store, and the parts of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass

from router.domain.deliveries import Attempt, State


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects deliveries: all given conditions must hold."""

    states: tuple[State, ...] = ()  #: any of them; empty: every state
    rule: str | None = None
    action: str | None = None
    target: str | None = None
    source: str | None = None
    event_id: str | None = None
    since: int | None = None  #: ms; planned then or later
    until: int | None = None  #: ms; planned before


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects events: all given conditions must hold."""

    source: str | None = None
    since: int | None = None  #: ms; received then or later
    until: int | None = None  #: ms; received before


@dataclass(frozen=True, slots=True)
class EventHead:
    """An event without headers and body, with the states of its deliveries."""

    seq: int  #: the store's commit order
    id: str
    source: str
    method: str
    path: str
    ip: str
    received_at: int  #: ms
    size: int  #: bytes of the body
    deliveries: Mapping[State, int]  #: their number in each state; empty: no rule matched


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A position in the store's history, for a follower to go on from."""

    event: int = 0  #: seq of the last event before it
    ended: int = 0  #: number of the last attempt's end before it


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
class EndedPage:
    """A page of ended attempts."""

    attempts: tuple[EndedAttempt, ...]  #: without pruned ones
    next_after: int  #: the `after` of the next page
    more: bool  #: the next page may have some already


@dataclass(frozen=True, slots=True)
class Depth:
    """The deliveries of one target, counted by what they wait for."""

    target: str
    due: int = 0  #: pending; they wait for their time or the target's limits
    blocked: int = 0  #: pending behind an earlier one of the same order key
    running: int = 0
    dead: int = 0
    oldest_at: int | None = None  #: ms; when the oldest pending one was planned


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of one step of pruning."""

    events: int  #: removed, with their deliveries and attempts
    next_after: int | None  #: the `after` of the next step; None: no older events are left
