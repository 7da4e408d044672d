"""Filters that select events and deliveries."""

from dataclasses import dataclass

from router.domain.deliveries import State


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects deliveries: all given conditions must hold."""

    states: tuple[State, ...] = ()  #: one of these; empty: every state
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
    rule: str | None = None  #: this rule matched, or has a delivery
    states: tuple[State, ...] = ()  #: a delivery is in one of these states; with `rule`, one of that rule's deliveries
    unmatched: bool = False  #: no rule matched, neither at receipt nor when it was planned again
    dedupe_keys: tuple[str, ...] = ()  #: one of these
