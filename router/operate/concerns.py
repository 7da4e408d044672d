"""What is wrong with a daemon and its store now, each with its cure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from router.domain.target_state import BreakerState
from router.operate.status import Status
from router.operate.words import counted, size, span
from router.store.contract import StoreSize

LONG_MS = 15 * 60_000  #: a delivery that waits longer without being held is a concern
LOW_BYTES = 512 * 1024 * 1024  #: free bytes on the store's disk; a busy daemon fills this within hours
_MOST_TARGETS = 5  #: that are named one by one
_MOST_NODES = 3  #: the same for nodes


class Place(StrEnum):
    """Where the cure is."""

    LOG = "log"
    RULES = "rules"
    DEAD = "dead"  #: dead deliveries
    PENDING = "pending"  #: pending ones
    TARGETS = "targets"
    NODES = "nodes"


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that is wrong."""

    what: str
    cure: str
    place: Place
    target: str = ""  #: the target whose deliveries it is about


_CHECKS = {
    "store": "See whether the store's disk is full or its database away; the log says which.",
    "rules": "Correct the rules file; `webhook-router check` names each problem.",
    "dispatcher": "Read the log. If nothing is delivered, restart the daemon.",
    "intake": "Read the log. If senders get no answer, restart the daemon.",
}


def concerns(status: Status, room: StoreSize, checks: Mapping[str, bool], now: int) -> list[Concern]:
    """What is wrong, the worst first. `checks` are those of readiness."""
    found = [
        Concern(f"The daemon is not ready: its {name} check fails.", _CHECKS.get(name, "Read the log."), Place.LOG)
        for name, good in checks.items()
        if not good
    ]
    if room.free is not None and room.free < LOW_BYTES:
        cure = "Make room; without it events are refused. A shorter --keep lets the store grow less."
        found.append(Concern(f"The store's disk has {size(room.free)} left.", cure, Place.LOG))
    found += [*_rules(status, now), *_targets(status, now), *_deliveries(status, now), *_polls(status, now)]
    found += _nodes(status, now)
    return found


def _rules(status: Status, now: int) -> Iterator[Concern]:
    drift = status.notes["rules"].get("drift")
    if not isinstance(drift, dict):
        return
    since = drift.get("since")
    duration = f", for {span(now - since)}" if isinstance(since, int) else ""
    problems = [str(problem) for problem in drift.get("problems") or ()]
    why = f": {problems[0]}" if problems else "."
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    cure = "Correct the file; the daemon loads it within a second. Until then the rules below run."
    yield Concern(f"The rules file differs from the running rules{duration}{why}{more}", cure, Place.RULES)


def _targets(status: Status, now: int) -> Iterator[Concern]:
    breakers = {
        target: breaker
        for target, breaker in status.notes["breakers"].items()
        if isinstance(breaker, dict) and breaker.get("state") != BreakerState.CLOSED
    }
    for target, breaker in list(breakers.items())[:_MOST_TARGETS]:
        tried = _tried(breaker, now)
        cure = f"See what its attempts say, and fix it; {tried}"
        yield Concern(f"Target {target} keeps failing: its breaker is {breaker['state']}.", cure, Place.PENDING, target)
    if len(breakers) > _MOST_TARGETS:
        what = f"{counted(len(breakers) - _MOST_TARGETS, 'further target')} keep failing."
        yield Concern(what, "See which, and fix them.", Place.TARGETS)
    paused = [d.target for d in status.depths if d.paused and d.held]
    if paused:
        waiting = sum(d.held for d in status.depths if d.paused)
        names = ", ".join(paused[:3]) + (f" and {len(paused) - 3} more" if len(paused) > 3 else "")
        what = f"{counted(waiting, 'delivery')} held at {names}: paused."
        yield Concern(what, "Resume the target when it may be called again.", Place.TARGETS)


def _tried(breaker: Mapping[str, Any], now: int) -> str:
    until = breaker.get("until")
    if isinstance(until, int) and until > now:
        return f"one attempt tests it in {span(until - now)}."
    return "one attempt tests it now and then."


def _deliveries(status: Status, now: int) -> Iterator[Concern]:
    dead = sum(d.dead for d in status.depths)
    if dead:
        cure = "Read their errors, fix the cause, then replay them; or cancel those that nobody needs."
        yield Concern(f"{counted(dead, 'delivery')} dead: given up.", cure, Place.DEAD)
    if status.oldest_at is not None and now - status.oldest_at > LONG_MS:
        what = f"The oldest delivery waits for {span(now - status.oldest_at)}."
        yield Concern(what, "See what it waits for.", Place.PENDING)


def _polls(status: Status, now: int) -> Iterator[Concern]:
    failing = [state for state in status.polls if state.failures]
    for state in failing[:_MOST_TARGETS]:
        what = f"Source {state.source} fails for {span(now - state.failing_since)}: {state.error}."
        yield Concern(
            what, "It is polled again, after longer and longer pauses; items of the service are not lost.", Place.LOG
        )
    if len(failing) > _MOST_TARGETS:
        what = f"{counted(len(failing) - _MOST_TARGETS, 'further source')} fail."
        yield Concern(what, "See which; `webhook-router status` says why.", Place.LOG)


def _nodes(status: Status, now: int) -> Iterator[Concern]:
    lost = [node for node in status.nodes if not node.lives]
    cure = "Other nodes take over its deliveries. Start it again, or do without it."
    for node in lost[:_MOST_NODES]:
        what = f"Node {node.facts.name} is lost: silent for {span(now - node.renewed_at)}."
        yield Concern(what, cure, Place.NODES)
    if len(lost) > _MOST_NODES:
        yield Concern(f"{counted(len(lost) - _MOST_NODES, 'further node')} lost.", "See which.", Place.NODES)
    living = {node.rules for node in status.nodes if node.lives}
    if len(living) > 1:
        what = f"The nodes run {len(living)} different rule sets."
        yield Concern(what, "Bring the same rules file to each; those with another hash are below.", Place.NODES)
