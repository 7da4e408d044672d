"""The time of the last claim of each target with a low rate, so that a restart allows no extra attempt.

It is a note like those of the daemon, written in the claim's own transaction: a crash leaves both or neither.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import apsw

KEPT = 1000  #: targets that are kept, the newest; a file has some dozens with a rate
FIND = "SELECT value FROM note WHERE name = 'last_claims'"


def note(connection: apsw.Connection, targets: Iterable[str], now: int) -> None:
    """Record that these targets were claimed from at `now` (ms)."""
    claimed = dict.fromkeys(targets, now)
    if not claimed:
        return
    newest = sorted({**read(connection.execute(FIND).fetchall()), **claimed}.items(), key=lambda item: item[1])
    # Targets of this claim are always kept: after the clock was set back, their time may not be the newest.
    kept = {**dict(newest[-KEPT:]), **claimed}
    connection.execute("INSERT OR REPLACE INTO note VALUES ('last_claims', ?)", (json.dumps(kept),))


def read(rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    """The times, from rows of FIND; empty when the note can't be read."""
    try:
        found = json.loads(str(rows[0][0])) if rows else {}
    except ValueError:
        return {}
    return {key: at for key, at in found.items() if isinstance(at, int)} if isinstance(found, dict) else {}
