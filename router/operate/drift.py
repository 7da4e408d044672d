"""Whether the rules file on the disk is what a daemon's note says that runs, even when that daemon is gone or hangs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.rules.reload.drift import DriftReason
from router.rules.reload.rules_file import RulesFile, Unusable, digest

_TAKEN_MS = 10_000  #: within which a daemon that works has taken an edit, or said why not


def drift(note: Mapping[str, Any], *, running: bool, now: int) -> dict[str, Any] | None:
    """`{why, since, problems}` as router.daemon.status_notes writes it, or none when the file is what runs; now in ms.

    A running daemon's own word comes first: it knows more than the file shows, such as a secret that is missing.
    """
    said = note.get("drift")
    if running and isinstance(said, dict):
        return said
    path, ours = note.get("file"), note.get("hash")
    if not isinstance(path, str) or not isinstance(ours, str):
        return None
    # Who asks may be another user than the daemon's, whom others' files don't concern.
    text = RulesFile(Path(path)).read(guarded=False)
    if isinstance(text, Unusable):
        return {"why": text.why.value, "since": None, "problems": [str(text.problem)]}
    if digest(text) == ours:
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
        return "changed since the last daemon read it; the next start takes it"
    if since is not None and now - since < _TAKEN_MS:
        return "changed just now; the daemon has not taken it yet"
    return "changed, and the daemon has not taken it; if it stays so, see its log, and start it anew"
