"""Compares the rules file with the rules that the daemon recorded in the store, even when the daemon hangs or has
ended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.rules.reload.drift import DriftReason
from router.rules.reload.rules_file import RulesFile, Unusable

_RELOAD_MS = 10_000  #: within this time a healthy daemon has loaded an edit, or recorded why it could not


def drift(note: Mapping[str, Any], *, running: bool, now: int) -> dict[str, Any] | None:
    """`{why, since, problems}` as router.daemon.status_notes writes it. None when the file runs. `now` in ms.

    A running daemon's own note has priority: it knows more than the file shows, for example that a secret is missing.
    """
    noted = note.get("drift")
    if running and isinstance(noted, dict):
        return noted
    path, running_hash = note.get("file"), note.get("hash")
    if not isinstance(path, str) or not isinstance(running_hash, str):
        return None
    # Unguarded: the command may run as another user than the daemon, so the file's owner proves nothing here.
    text = RulesFile(Path(path)).read(guarded=False)
    if isinstance(text, Unusable):
        return {"why": text.why.value, "since": None, "problems": [str(text.problem)]}
    if text.hash == running_hash:
        return None
    since = _changed_at(Path(path))
    return {"why": DriftReason.CHANGED.value, "since": since, "problems": [f"{path}: {_reason(since, running, now)}"]}


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_ctime_ns // 1_000_000
    except OSError:
        return None


def _reason(since: int | None, running: bool, now: int) -> str:
    if not running:
        return "changed since the last daemon read it; the next start loads it"
    if since is not None and now - since < _RELOAD_MS:
        return "changed a moment ago; the daemon has not loaded it yet"
    return "changed, and the daemon has not loaded it; if this lasts, see its log, and restart it"
