"""The status of a store and its daemon: rules, what waits at each target, breakers, the store's size."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.domain.holds import Holds
from router.domain.polls import PollState
from router.domain.summaries import Depth
from router.operate.drift import drift
from router.operate.held import held_depths, holds_json, pauses_json
from router.operate.json_times import times
from router.operate.parse_time import LAST_MS
from router.operate.waits import Waits, waits_from
from router.store.contract import OperatorStore
from router.store.fleet import NodeState

NOTES = ("process", "rules", "breakers", "waits")


@dataclass(frozen=True, slots=True)
class Status:
    """The status at one moment, from the store and the daemon's notes in it."""

    location: str  #: of the store
    pid: int | None  #: of the daemon that owns the store; 0: unknown; None: no daemon runs
    #: by the names in NOTES, see router.daemon.status_notes; empty: the daemon wrote none
    notes: Mapping[str, dict[str, Any]]
    depths: Sequence[Depth]  #: with what is held
    holds: Holds
    size: int  #: bytes of the store's file
    log_size: int  #: bytes of its write-ahead log
    nodes: Sequence[NodeState] = ()  #: that share the store, the oldest first
    polls: Sequence[PollState] = ()  #: of polled sources, by name

    @property
    def oldest_at(self) -> int | None:
        """When the oldest pending delivery was planned, ms."""
        return min((d.oldest_at for d in self.depths if d.oldest_at is not None), default=None)

    @property
    def waits(self) -> Waits:
        """What the targets' deliveries wait for."""
        return waits_from(self.notes, self.holds, running=self.pid is not None)

    def as_json(self, now: int) -> dict[str, Any]:
        """As `status --json` prints it."""
        return {
            "running": self.pid is not None,
            "pid": self.pid or None,
            "store": {"path": self.location, "bytes": self.size, "wal_bytes": self.log_size},
            **({"nodes": [node_json(node, now) for node in self.nodes]} if self.nodes else {}),
            **({"polls": [poll_json(state, now) for state in self.polls]} if self.polls else {}),
            **self._notes_json(),
            "pending": sum(d.due + d.blocked + d.held for d in self.depths),
            "held": sum(d.held for d in self.depths),
            "holds": holds_json(self.holds, now),
            "in_flight": sum(d.running for d in self.depths),
            "dead": sum(d.dead for d in self.depths),
            **times(oldest_at=self.oldest_at),
            "oldest_age_ms": _age(self.oldest_at, now),
            "targets": [depth_json(d, self.notes["breakers"], self.waits, now) for d in self.depths],
        }

    def _notes_json(self) -> dict[str, Any]:
        rules = dict(self.notes["rules"])
        if isinstance(rules.get("drift"), dict):
            rules["drift"] = _timed(rules["drift"], "since")
        return {
            "process": _timed(self.notes["process"], "started_at"),
            "rules": _timed(rules, "loaded_at"),
            "breakers": {target: _breaker_json(breaker) for target, breaker in self.notes["breakers"].items()},
        }


def node_json(node: NodeState, now: int) -> dict[str, Any]:
    """A node, as `status --json` prints it."""
    facts = node.facts
    return {
        "name": facts.name,
        "host": facts.host,
        "pid": facts.process,
        "version": facts.version,
        "roles": list(facts.roles),
        "actions": list(facts.actions),
        "rules": node.rules,
        "lives": node.lives,
        **times(started_at=node.started_at, renewed_at=node.renewed_at),
        "renewed_age_ms": _age(node.renewed_at, now),
    }


def poll_json(state: PollState, now: int) -> dict[str, Any]:
    """A polled source, as `status --json` prints it."""
    return {
        "source": state.source,
        "events": state.events,
        **times(
            polled_at=state.polled_at or None, succeeded_at=state.succeeded_at or None, next_at=state.next_at or None
        ),
        "next_in_ms": max(0, state.next_at - now) if state.next_at else None,
        "failures": state.failures,
        **times(failing_since=state.failing_since or None),
        "failing_ms": _age(state.failing_since or None, now),
        "error": state.error or None,
    }


def depth_json(d: Depth, breakers: Mapping[str, Any], waits: Waits, now: int) -> dict[str, Any]:
    """What waits at a target, as `status --json` prints it."""
    waiting = waits.at_depth(d, now)
    return {
        "target": d.target,
        "due": d.due,
        "blocked": d.blocked,
        "held": d.held,
        "running": d.running,
        "dead": d.dead,
        **times(oldest_at=d.oldest_at),
        "oldest_age_ms": _age(d.oldest_at, now),
        "waits_for": waiting.reason.value if waiting else None,
        **times(waits_until=waiting.until if waiting else None),
        "paused": pauses_json(d.target, waits.holds, now),
        "breaker": _breaker_json(breakers.get(d.target, {"state": "closed"})),
    }


def read_status(store: OperatorStore, pid: int | None, depths: Sequence[Depth] | None = None) -> Status:
    """The status now; `pid` as in Status. `depths`: what waits, where it was counted before. Raises StoreError."""
    kept = store.notes()
    notes = {name: _parsed(kept, name) for name in NOTES}
    if notes["rules"]:
        notes["rules"]["drift"] = drift(notes["rules"], running=pid is not None, now=time.time_ns() // 1_000_000)
    size, holds = store.size(), store.holds()
    counted = store.depths() if depths is None else depths
    held = held_depths(counted, holds, time.time_ns() // 1_000_000)
    return Status(store.location, pid, notes, held, holds, size.data, size.log, store.nodes(), store.polls())


def waits_of(store: OperatorStore, pid: int | None) -> Waits:
    """What the targets' deliveries wait for; `pid` as in Status. Raises StoreError."""
    notes = {"waits": note(store, "waits")} if pid is not None else {}
    return waits_from(notes, store.holds(), running=pid is not None)


def note(store: OperatorStore, name: str) -> dict[str, Any]:
    """A note that a daemon wrote about itself; empty if there is none or it can't be read. Raises StoreError."""
    return _parsed(store.notes(), name)


def _parsed(notes: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(notes.get(name, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _breaker_json(breaker: object) -> object:
    return _timed(breaker, "since", "until") if isinstance(breaker, dict) else breaker


def _timed(noted: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A note with each of these times twice, see `times`. A value that is not a time is left out."""
    given = {name: noted[name] for name in names if name in noted}
    kept = {key: value for key, value in noted.items() if key not in given}
    return {**kept, **times(**{name: at for name, at in given.items() if at is None or _is_time(at)})}


def _is_time(at: object) -> bool:
    return isinstance(at, int) and 0 <= at <= LAST_MS


def _age(at: int | None, now: int) -> int | None:
    return None if at is None else max(0, now - at)
