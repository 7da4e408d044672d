"""What is asked of a store, and the parts of its answers."""

from collections.abc import Mapping
from dataclasses import dataclass

from router.domain.deliveries import Attempt, State


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries are meant: those for which everything given holds."""

    states: tuple[State, ...] = ()  #: any of them; empty: whatever the state
    rule: str | None = None
    action: str | None = None
    target: str | None = None
    source: str | None = None
    event_id: str | None = None
    since: int | None = None  #: ms; planned then or later
    until: int | None = None  #: ms; planned before


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are meant: those for which everything given holds."""

    source: str | None = None
    since: int | None = None  #: ms; received then or later
    until: int | None = None  #: ms; received before


@dataclass(frozen=True, slots=True)
class EventHead:
    """An event without its headers and body, and how its deliveries stand."""

    seq: int  #: the store's commit order
    id: str
    source: str
    method: str
    path: str
    ip: str
    received_at: int  #: ms
    size: int  #: bytes of the body
    deliveries: Mapping[State, int]  #: how many of each state; empty: no rule matched


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A point in the store's history, from which somebody follows it."""

    event: int = 0  #: seq of the last event before it
    ended: int = 0  #: number of the last attempt's end before it


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as whoever follows the store sees it."""

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
    """An attempt that has ended, as whoever follows the store sees it."""

    seq: int  #: in the order in which the ends were committed
    event: int  #: its event's seq
    event_id: str
    source: str
    delivery_id: str
    rule: str
    action: str
    type: str
    target: str
    state: State  #: how the delivery stands now
    is_last: bool  #: there was no later attempt of the delivery yet
    attempt: Attempt  #: without its excerpt


@dataclass(frozen=True, slots=True)
class EndedPage:
    """Some ended attempts."""

    attempts: tuple[EndedAttempt, ...]  #: without those that are pruned
    next_after: int  #: where to go on
    more: bool  #: there may be more at once


@dataclass(frozen=True, slots=True)
class Depth:
    """What a target has to do, and what it failed to."""

    target: str
    due: int = 0  #: pending, and nothing but time or the target's limits holds it
    blocked: int = 0  #: pending behind an earlier one of the same order key
    running: int = 0
    dead: int = 0
    oldest_at: int | None = None  #: ms; when the oldest pending one was planned


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one step of pruning did, and where the next one goes on."""

    events: int  #: removed, with their deliveries and attempts
    next_after: int | None  #: none: no event is older than that
