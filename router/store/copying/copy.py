"""Copies all rows, and gives back what was running."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from router.domain.deliveries import State
from router.store.contract import MAX_INTERRUPTIONS, Progress
from router.store.copying.rows import TABLES, CopySource, CopyTarget, Row
from router.store.location import StoreLocation

_ENDED = "the daemon ended under it"
_TOO_OFTEN = (
    f"interrupted {MAX_INTERRUPTIONS} times in a row: it may be what ends the daemon; replay it when that is fixed"
)
_BEHIND = 4  #: the bit of the column `blocked`: an attempt at an earlier one of its latest_by value is under way


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    events: int
    deliveries: int
    pending: int  #: deliveries that are still to be made


def copy_store(source: StoreLocation, target: StoreLocation, progress: Progress) -> Copied:
    """Copy a store into a new one. Raises StoreError; nothing is left of the new one then."""
    reading = _open_source(source)
    try:
        writing = _open_target(target)
        try:
            return _copy(reading, writing, progress)
        finally:
            writing.close()
    finally:
        reading.close()


def _copy(source: CopySource, target: CopyTarget, progress: Progress) -> Copied:
    tables = [table for table in TABLES if source.columns(table) and target.columns(table)]
    counts = {table: source.count(table) for table in tables}
    every, done = sum(counts.values()), 0
    recovery = Recovery()
    written: dict[str, int] = {}
    for table in tables:
        columns = sorted(source.columns(table) & target.columns(table))
        rows = _counted(recovery.rows(table, source.rows(table)), done, every, progress)
        written[table] = target.write(table, columns, rows)
        done += counts[table]
    target.finish(source.last_numbers())
    progress(every, every)
    return Copied(written["event"], written["delivery"], recovery.pending)


class Recovery:
    """Gives back what a daemon was running when it died, as the next start of a daemon would."""

    def __init__(self) -> None:
        self.pending = 0
        self._running: set[int] = set()  #: seqs

    def rows(self, table: str, rows: Iterable[Row]) -> Iterable[Row]:
        """The rows as the new store gets them."""
        if table == "delivery":
            return map(self._delivery, rows)
        if table == "attempt":
            return map(self._attempt, rows)
        return rows

    def _delivery(self, row: Row) -> Row:
        if row["state"] == State.RUNNING:
            self._running.add(row["seq"])
            interruptions = row["interruptions"] + 1
            dead = interruptions >= MAX_INTERRUPTIONS
            state = State.DEAD if dead else State.PENDING
            error = _TOO_OFTEN if dead else row["error"]
            row = {**row, "state": state.value, "interruptions": interruptions, "error": error}
            if row.get("latest_key") is not None:  # made as if replayed: a newer one may be pending
                row = {**row, "latest_key": None}
        if row["blocked"] & _BEHIND:
            row = {**row, "blocked": row["blocked"] & ~_BEHIND}
        self.pending += row["state"] == State.PENDING
        return row

    def _attempt(self, row: Row) -> Row:
        if row["finished_at"] is None and row["delivery"] in self._running:
            return {**row, "finished_at": row["started_at"], "outcome": "interrupted", "error": _ENDED}
        return row


def _counted(rows: Iterable[Row], done: int, every: int, progress: Progress) -> Iterator[Row]:
    for number, row in enumerate(rows, start=done + 1):
        if number % 1000 == 0:
            progress(min(number, every), every)
        yield row


def _open_source(location: StoreLocation) -> CopySource:
    if isinstance(location, Path):
        from router.store.sqlite.copying import SqliteSource  # noqa: PLC0415 - one of both is used

        return SqliteSource(location)
    from router.store.postgres.copying import PostgresSource  # noqa: PLC0415

    return PostgresSource(location)


def _open_target(location: StoreLocation) -> CopyTarget:
    if isinstance(location, Path):
        from router.store.sqlite.copying import SqliteTarget  # noqa: PLC0415 - one of both is used

        return SqliteTarget(location)
    from router.store.postgres.copying import PostgresTarget  # noqa: PLC0415

    return PostgresTarget(location)
