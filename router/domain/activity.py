"""What came lately: events and deliveries over time, and what each rule matched."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bucket:
    """The events and deliveries of a span of time."""

    begins_at: int  #: ms
    events: int  #: received
    deliveries: int  #: planned
    dead: int  #: how many of these deliveries are dead now
    is_exact: bool = True  #: False: the numbers are estimates, since exact counting would take long


@dataclass(frozen=True, slots=True)
class RuleMatches:
    """What one rule matched lately."""

    events: int
    last_event: str  #: id


@dataclass(frozen=True, slots=True)
class RecentMatches:
    """What the rules matched among the newest events."""

    since: int | None  #: ms; the receipt of the first of these events; None: there are none
    by_rule: Mapping[str, RuleMatches] = field(default_factory=dict)  #: rules without a match are left out


def time_of_id(id_: str) -> int:
    """The time (ms) with which a UUIDv7 begins: that of the event, or a little later."""
    return int(id_[:8] + id_[9:13], 16)
