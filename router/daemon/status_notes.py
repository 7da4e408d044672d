"""Notes of the daemon about itself in the store, for `status`, which also reads those of a dead daemon.

Each note is JSON: `process` {pid, version, started_at, listen, admin, processes: a list of {number, pid, serves}, left
out when there are none, plugins: a list of {kind, name, package, error: null or a text}, left out when there are none};
`rules` {file, hash, rules, loaded_at, sources: as `source_settings` gives them, drift: null or {why, since, problems}},
where problems are texts. The delivery loop adds `breakers` and `waits`. A note that can't be written is lost. Only a
start waits for its notes, so that a command that is typed when the daemon serves finds them.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import orjson

from router import __version__
from router.operate.source_settings import source_settings
from router.plugins.entry_points import InstalledPlugin
from router.rules.reload.drift import Drift
from router.rules.ruleset import Ruleset
from router.store.contract import Store

_WAIT_SECONDS = 5.0  #: how long a start waits for a note; a healthy store takes milliseconds
_PROBLEMS = 5  #: problems of a refused file that are kept; `check` prints all


def note_process(
    store: Store,
    now: int,
    listen: str,
    admin: str | None,
    processes: Sequence[Mapping[str, Any]] = (),
    plugins: Sequence[InstalledPlugin] = (),
) -> "Future[None]":
    """Note that the daemon serves, since now (ms), with these intake processes beside its own, and these plugins."""
    listening: dict[str, Any] = {"listen": listen, "admin": admin}
    if plugins:
        listening["plugins"] = [
            {"kind": one.kind, "name": one.name, "package": one.package, "error": one.error or None} for one in plugins
        ]
    if processes:
        listening["processes"] = processes
    return _note(store, "process", {"pid": os.getpid(), "version": __version__, "started_at": now, **listening})


def note_rules(store: Store, ruleset: Ruleset, file: Path, loaded_at: int, drift: Drift | None) -> "Future[None]":
    """Note the current rules, loaded at loaded_at (ms), and the drift of the file."""
    rules = {"file": str(file.absolute()), "hash": ruleset.hash, "rules": len(ruleset.rules)}
    more = {"sources": source_settings(ruleset), "drift": None if drift is None else drift_json(drift)}
    return _note(store, "rules", {**rules, "loaded_at": loaded_at, **more})


def drift_json(drift: Drift) -> dict[str, Any]:
    """Why the rules file differs from the running rules, since when (ms), and its first problems."""
    problems = [str(problem) for problem in drift.problems[:_PROBLEMS]]
    return {"why": drift.why.value, "since": round(drift.since * 1000), "problems": problems}


def wait_for_note(note: "Future[None]") -> None:
    """Wait until a note can be read, or for 5 s: a store that is away is reported elsewhere."""
    wait([note], _WAIT_SECONDS)


def _note(store: Store, name: str, value: dict[str, Any]) -> "Future[None]":
    return store.put_note(name, orjson.dumps(value).decode())
