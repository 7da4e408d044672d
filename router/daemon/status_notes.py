"""What the daemon writes of itself into the store, so that `status` knows it beside a running or a dead one.

Each is a note, JSON: `process` {pid, version, started_at, listen, admin}; `rules` {file, hash, rules, loaded_at,
drift: none or {why, since, problems}}, problems in words; the delivery loop adds `breakers`. Nobody waits for a note:
one that can't be written is lost.
"""

import os
from pathlib import Path
from typing import Any

import orjson

from router import __version__
from router.rules.reload.drift import Drift
from router.rules.ruleset import Ruleset
from router.store.contract import Store

_PROBLEMS = 5  #: of a refused file that are kept; `check` tells all


def note_process(store: Store, now: int, listen: str, admin: str | None) -> None:
    """The daemon serves, since now (ms)."""
    listening = {"listen": listen, "admin": admin}
    _note(store, "process", {"pid": os.getpid(), "version": __version__, "started_at": now, **listening})


def note_rules(store: Store, ruleset: Ruleset, file: Path, loaded_at: int, drift: Drift | None) -> None:
    """These rules are current, since loaded_at (ms); whether the file says so too."""
    rules = {"file": str(file.absolute()), "hash": ruleset.hash, "rules": len(ruleset.rules)}
    _note(store, "rules", {**rules, "loaded_at": loaded_at, "drift": None if drift is None else drift_json(drift)})


def drift_json(drift: Drift) -> dict[str, Any]:
    """Why the file is not what runs, since when (ms), and the first of its problems."""
    problems = [str(problem) for problem in drift.problems[:_PROBLEMS]]
    return {"why": drift.why.value, "since": round(drift.since * 1000), "problems": problems}


def _note(store: Store, name: str, value: dict[str, Any]) -> None:
    store.put_note(name, orjson.dumps(value).decode())
