"""How things stand: the daemon, its rules, what waits at each target, breakers, and the store's size."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.model import Depth
from router.operations.drift import drift
from router.operations.shape import times
from router.store.base import Store
from router.store.sqlite_file import disk_usage, owner_of


@dataclass(frozen=True, slots=True)
class Status:
    """What a store, and its daemon's own words in it, say at one moment."""

    path: Path
    pid: int | None  #: of the daemon that owns the store; 0 when it doesn't say, none when none runs
    notes: Mapping[str, dict[str, Any]]  #: `process`, `rules` and `breakers`, see router.standing; empty: no word
    depths: Sequence[Depth]
    size: int  #: bytes of the store's file
    log_size: int  #: bytes of its write-ahead log

    @property
    def oldest_at(self) -> int | None:
        """When the oldest pending delivery was planned, ms."""
        return min((d.oldest_at for d in self.depths if d.oldest_at is not None), default=None)

    def as_json(self, now: int) -> dict[str, Any]:
        """As `status --json` shows it."""
        return {
            "running": self.pid is not None,
            "pid": self.pid or None,
            "store": {"path": str(self.path), "bytes": self.size, "wal_bytes": self.log_size},
            **self.notes,
            "pending": sum(d.due + d.blocked for d in self.depths),
            "in_flight": sum(d.running for d in self.depths),
            "dead": sum(d.dead for d in self.depths),
            **times(oldest_at=self.oldest_at),
            "oldest_age_ms": _age(self.oldest_at, now),
            "targets": [depth_json(d, self.notes["breakers"], now) for d in self.depths],
        }


def depth_json(d: Depth, breakers: Mapping[str, Any], now: int) -> dict[str, Any]:
    """What waits at a target, as `status --json` shows it."""
    return {
        "target": d.target,
        "due": d.due,
        "blocked": d.blocked,
        "running": d.running,
        "dead": d.dead,
        **times(oldest_at=d.oldest_at),
        "oldest_age_ms": _age(d.oldest_at, now),
        "breaker": breakers.get(d.target, {"state": "closed"}),
    }


def look(store: Store, path: Path, pid: int | None) -> Status:
    """How things stand now; `pid` as in Status. Raises StoreError."""
    notes = {name: note(store, name) for name in ("process", "rules", "breakers")}
    if notes["rules"]:
        notes["rules"]["drift"] = drift(notes["rules"], running=pid is not None, now=time.time_ns() // 1_000_000)
    size, log_size = disk_usage(path)
    return Status(path, pid, notes, store.depths(), size, log_size)


def owner(path: Path) -> int | None:
    """The process of the daemon that owns a store; 0 when it doesn't say, none when none runs."""
    try:
        return owner_of(path)
    except OSError:  # the lock's file is another user's: the commands that write would have failed before
        return None


def note(store: Store, name: str) -> dict[str, Any]:
    """What a daemon said of itself; nothing when it said nothing that can be read. Raises StoreError."""
    try:
        value = json.loads(store.notes().get(name, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _age(at: int | None, now: int) -> int | None:
    return None if at is None else max(0, now - at)
