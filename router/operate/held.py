"""Which deliveries are held, by what, and since when: for lists, `status` and metrics."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from router.domain.holds import Hold, HoldCause, HoldKind, Holds
from router.domain.summaries import Depth
from router.operate.json_times import times


def held_depths(depths: Iterable[Depth], holds: Holds, now: int) -> list[Depth]:
    """The depths, with the targets that are paused at `now` (ms), sorted by name.

    Deliveries at a paused target count as held, and not as the oldest waiting.
    """
    found = {depth.target: depth for depth in depths}
    for (kind, name), _ in holds.active(now).items() if holds else ():
        if kind is HoldKind.TARGET:
            d = found.get(name, Depth(name))
            held = d.held + d.due + d.blocked
            found[name] = replace(d, due=0, blocked=0, held=held, oldest_at=None, paused=True)
    return [found[name] for name in sorted(found)]


def holds_json(holds: Holds, now: int) -> list[dict[str, Any]]:
    """All holds, as `status --json` prints them."""
    return [
        {"kind": kind.value, "name": name, **hold_json(hold)}
        for (kind, name), found in holds.active(now).items()
        for hold in found
    ]


def pauses_json(target: str, holds: Holds, now: int) -> list[dict[str, Any]]:
    """What pauses a target; empty when it is not paused."""
    return [hold_json(hold) for hold in holds.on((HoldKind.TARGET, target), now)]


def hold_json(hold: Hold) -> dict[str, Any]:
    """One hold, as `--json` prints it."""
    return {"cause": hold.cause.value, **times(since=hold.began_at, until=hold.until)}


def hold_words(hold: Hold) -> str:
    """Why a delivery is held: `target ci is paused by command`."""
    if hold.kind is HoldKind.TARGET:
        by = "by command" if hold.cause is HoldCause.OPERATOR else "by the rules file"
        return f"target {hold.name} is paused {by}"
    return f"{hold.kind.value} {hold.name} is disabled by the rules file"
