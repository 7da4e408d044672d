"""Prune: one step of retention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.summaries import Pruned
from router.store import limits
from router.store.changes import DueListener


@dataclass(slots=True)
class Prune:
    """One step of retention."""

    before: int
    dead_before: int
    after: int
    source: str | None = None
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Prune"], due: DueListener) -> list[Pruned]:  # noqa: ARG003
        """Prune for each job."""
        return [cls._prune(connection, job) for job in jobs]

    @staticmethod
    def _prune(connection: apsw.Connection, job: "Prune") -> Pruned:
        window, of_source = (_WINDOW, ()) if job.source is None else (_WINDOW_OF_SOURCE, (job.source,))
        looked_at = connection.execute(window, (*of_source, job.after, limits.PRUNED_LOOK)).fetchall()
        if not looked_at or all(int(str(received)) >= job.before for _, received in looked_at):
            connection.execute(_PRUNE_TEXTS, (limits.TEXT_MARGIN_MS, job.before))
            return Pruned(0, None)
        last = looked_at[-1][0]
        gone = connection.execute(
            _GONE if job.source is None else _GONE_OF_SOURCE,
            (job.after, last, job.before, job.dead_before, limits.PRUNED_AT_ONCE, *of_source),
        ).fetchall()
        connection.executemany("DELETE FROM attempt WHERE delivery IN (SELECT seq FROM delivery WHERE event = ?)", gone)
        connection.executemany("DELETE FROM delivery WHERE event = ?", gone)
        connection.executemany("DELETE FROM event WHERE seq = ?", gone)
        connection.executemany("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'event'", gone[-1:])
        after = gone[-1][0] if len(gone) == limits.PRUNED_AT_ONCE else last
        return Pruned(len(gone), int(str(after)))


_WINDOW = "SELECT seq, received_at FROM event WHERE seq > ? ORDER BY seq LIMIT ?"

_WINDOW_OF_SOURCE = "SELECT seq, received_at FROM event WHERE source = ? AND seq > ? ORDER BY seq LIMIT ?"

_GONE = """
SELECT seq FROM event e
WHERE seq > ?1 AND seq <= ?2 AND received_at < ?3 AND NOT EXISTS (
    SELECT 1 FROM delivery d
    WHERE d.event = e.seq AND (d.state IN ('pending', 'running') OR d.state = 'dead' AND e.received_at >= ?4)
)
ORDER BY seq LIMIT ?5
"""
_GONE_OF_SOURCE = _GONE.replace("WHERE seq", "WHERE source = ?6 AND seq", 1)

# Only texts that were retired before all remaining events, so that no remaining delivery names them.
_PRUNE_TEXTS = """
DELETE FROM ruleset
WHERE retired_at < coalesce((SELECT received_at FROM event ORDER BY seq LIMIT 1), ?2) - ?1
"""
