"""What the daemon writes of itself into the store, so that `status` knows it beside a running or a dead one.

Each is a note, JSON: `process` {pid, version, started_at, listen, admin}; `rules` {file, hash, rules, loaded_at,
failed_at, problems}; the delivery loop adds `breakers`. Nobody waits for a note: one that can't be written is lost.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from router import __version__
from router.rules.ruleset import Ruleset
from router.store.base import Store

_PROBLEMS = 5  #: of a refused file that are kept; `check` tells all


def note_process(store: Store, now: int, listen: str, admin: str | None) -> None:
    """The daemon serves, since now (ms)."""
    listening = {"listen": listen, "admin": admin}
    _note(store, "process", {"pid": os.getpid(), "version": __version__, "started_at": now, **listening})


def note_rules(store: Store, now: int, ruleset: Ruleset, file: Path) -> None:
    """These rules are current, since now (ms)."""
    _note(store, "rules", {**_rules(ruleset, file), "loaded_at": now, "failed_at": None, "problems": []})


def note_refused(store: Store, now: int, ruleset: Ruleset, file: Path, loaded_at: int, problems: Sequence[str]) -> None:
    """These rules, current since loaded_at (ms), stay, because the file as it is now has problems."""
    failed = {"failed_at": now, "problems": list(problems[:_PROBLEMS])}
    _note(store, "rules", {**_rules(ruleset, file), "loaded_at": loaded_at, **failed})


def _rules(ruleset: Ruleset, file: Path) -> dict[str, Any]:
    return {"file": str(file.absolute()), "hash": ruleset.hash, "rules": len(ruleset.rules)}


def _note(store: Store, name: str, value: dict[str, Any]) -> None:
    store.put_note(name, orjson.dumps(value).decode())
