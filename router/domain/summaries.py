"""Summaries of events and deliveries, and the result of pruning."""

from collections.abc import Mapping
from dataclasses import dataclass

from router.domain.deliveries import State


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
    deliveries: Mapping[State, int]  #: their number in each state; empty: none was planned


@dataclass(frozen=True, slots=True)
class Depth:
    """The deliveries of one target, counted by what they wait for."""

    target: str
    due: int = 0  #: pending and not blocked; they wait for their time or the target's limits
    blocked: int = 0  #: pending behind an earlier one of the same order key or latest_by value
    running: int = 0
    dead: int = 0
    oldest_at: int | None = None  #: ms; when the oldest pending one was planned; held ones do not count
    held: int = 0  #: pending, and paused or disabled
    paused: bool = False  #: whether the target is paused


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of one step of pruning."""

    events: int  #: removed, with their deliveries and attempts
    next_after: int | None  #: the `after` of the next step; None: no older events are left
