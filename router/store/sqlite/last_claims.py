"""When each target with a low rate was last claimed from, so that a restart gives it no attempt too many.

It is a note beside those of the daemon, written in the claim's own transaction: a crash leaves both or neither.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import apsw

KEPT = 1000  #: targets, the newest ones; a file has some dozens with a rate
FIND = "SELECT value FROM note WHERE name = 'last_claims'"


def note(connection: apsw.Connection, targets: Iterable[str], now: int) -> None:
    """These were claimed from at `now` (ms)."""
    claimed = dict.fromkeys(targets, now)
    if not claimed:
        return
    newest = sorted({**read(connection.execute(FIND).fetchall()), **claimed}.items(), key=lambda item: item[1])
    # Those of this claim are kept whatever a clock that was set back makes of the others.
    kept = {**dict(newest[-KEPT:]), **claimed}
    connection.execute("INSERT OR REPLACE INTO note VALUES ('last_claims', ?)", (json.dumps(kept),))


def read(rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    """From FIND; what can't be read is as good as nothing."""
    try:
        found = json.loads(str(rows[0][0])) if rows else {}
    except ValueError:
        return {}
    return {key: at for key, at in found.items() if isinstance(at, int)} if isinstance(found, dict) else {}
