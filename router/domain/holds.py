"""Holds: what makes pending deliveries wait until an operator or the rules file lets them go."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class HoldKind(StrEnum):
    """What is held."""

    TARGET = "target"  #: all deliveries to a target, which is paused
    RULE = "rule"  #: all deliveries of a rule, which is disabled
    ACTION = "action"  #: all deliveries of one action, which is disabled


class HoldCause(StrEnum):
    """Who holds it."""

    OPERATOR = "operator"  #: until `targets resume` or the end of `--for`
    FILE = "file"  #: the rules file, until it changes


HoldName = tuple[HoldKind, str]
"""A kind, and the name of a target or a rule, or `rule/action`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold, from its begin to its end."""

    kind: HoldKind
    name: str
    cause: HoldCause
    began_at: int  #: ms
    until: int | None = None  #: ms; when it ends by itself
    ended_at: int | None = None  #: ms; when it was ended

    def is_active(self, now: int) -> bool:
        """Whether it holds deliveries at `now` (ms)."""
        return self.ended_at is None and (self.until is None or now < self.until)

    def end(self, now: int) -> int:
        """When it ended, or `now` (ms) while it is active."""
        return min(at for at in (self.ended_at, self.until, now) if at is not None)


class Holds:
    """The holds that a store knows, ended ones included."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self._by_name: dict[HoldName, list[Hold]] = {}
        for hold in holds:
            self._by_name.setdefault((hold.kind, hold.name), []).append(hold)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    @property
    def by_file(self) -> frozenset[HoldName]:
        """What the rules file holds."""
        every = (hold for holds in self._by_name.values() for hold in holds)
        return frozenset((h.kind, h.name) for h in every if h.cause is HoldCause.FILE and h.ended_at is None)

    def of(self, target: str, rule: str, action: str, now: int) -> Hold | None:
        """What holds such a delivery at `now` (ms); if several do, the one that lasts longest."""
        if not self._by_name:
            return None
        found = [hold for name in names_of(target, rule, action) for hold in self.on(name, now)]
        return max(found, key=lambda hold: (hold.until is None, hold.until or 0), default=None)

    def on(self, name: HoldName, now: int) -> list[Hold]:
        """The active holds of one name."""
        return [hold for hold in self._by_name.get(name, ()) if hold.is_active(now)]

    def active(self, now: int) -> dict[HoldName, list[Hold]]:
        """All active holds by name, sorted."""
        found = {name: self.on(name, now) for name in sorted(self._by_name)}
        return {name: holds for name, holds in found.items() if holds}

    def held_ms(self, target: str, rule: str, action: str, since: int, now: int) -> int:
        """For how long such a delivery was held from `since` to `now` (ms). Time under two holds counts once."""
        if not self._by_name:
            return 0
        every = [hold for name in names_of(target, rule, action) for hold in self._by_name.get(name, ())]
        held, reached = 0, since
        for hold in sorted(every, key=lambda hold: hold.began_at):
            begin, end = max(hold.began_at, reached), hold.end(now)
            if end > begin:
                held += end - begin
                reached = end
        return held


def names_of(target: str, rule: str, action: str) -> tuple[HoldName, HoldName, HoldName]:
    """The names by which a delivery can be held."""
    return (HoldKind.TARGET, target), (HoldKind.RULE, rule), (HoldKind.ACTION, f"{rule}/{action}")
