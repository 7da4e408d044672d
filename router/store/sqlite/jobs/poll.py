"""Polls: the state of a polled source, the ids in its answer, and the events, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import apsw

from router.domain.polls import KEPT_IDS_MS, REFRESH_MS, PollResult, PollState
from router.store.changes import DueListener
from router.store.sqlite.jobs.append import AppendEvent
from router.store.sqlite.jobs.plan_again import keep_text

FORGOTTEN = 1000  #: ids that a write removes, in addition to twice as many as it adds


@dataclass(slots=True)
class TakePoll:
    """What a poll found."""

    result: PollResult
    is_append: ClassVar[bool] = True

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        events = sum(len(one.event.body) + 1024 + 512 * len(one.plan) for one in self.result.events)
        return events + 100 * len(self.result.seen) + 1024

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["TakePoll"], due: DueListener) -> list[bool]:
        """Store each poll, unless another one was stored since it began."""
        return [_take(connection, job.result, due) for job in jobs]


@dataclass(slots=True)
class ForgetPolls:
    """Polled sources that the rules no longer have."""

    sources: Sequence[str]
    is_append: ClassVar[bool] = False
    weight: ClassVar[int] = 0

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["ForgetPolls"], due: DueListener) -> list[None]:  # noqa: ARG003
        """Forget each."""
        for job in jobs:
            for source in job.sources:
                connection.execute(
                    "INSERT OR IGNORE INTO poll_gone SELECT series FROM poll WHERE source = ?", (source,)
                )
                connection.execute("DELETE FROM poll WHERE source = ?", (source,))
            _forget_gone(connection, FORGOTTEN)
        return [None] * len(jobs)


def _take(connection: apsw.Connection, result: PollResult, due: DueListener) -> bool:
    state = result.state
    found = connection.execute("SELECT series, token FROM poll WHERE source = ?", (state.source,)).fetchone()
    series, token = (str(found[0]), str(found[1])) if found is not None else (state.series, "")
    if state.token == token:
        return True  # it was stored before
    if token != result.before:
        return False
    if series != state.series:
        connection.execute("INSERT OR IGNORE INTO poll_gone VALUES (?)", (series,))
    row = (state.source, state.series, state.token, state.as_text())
    connection.execute("INSERT OR REPLACE INTO poll VALUES (?, ?, ?, ?)", row)
    seen = [(state.series, id_, result.now, result.now - REFRESH_MS) for id_ in result.seen]
    connection.executemany(_SEE, seen)
    if result.ruleset is not None:
        keep_text(connection, result.ruleset, result.now)
    if result.events:
        AppendEvent.run(connection, _appends(result), due)
    if result.whole:
        before = result.now - KEPT_IDS_MS
        connection.execute(_FORGET, (state.series, before, 2 * len(result.seen) + FORGOTTEN))
        _forget_gone(connection, FORGOTTEN)
    return True


def _appends(result: PollResult) -> list[AppendEvent]:
    """The events of a poll as the store appends them."""
    return [
        AppendEvent(
            one.event, one.plan, one.routing.ruleset, one.dedupe_window, one.routing.matched, one.routing.errors
        )
        for one in result.events
    ]


def _forget_gone(connection: apsw.Connection, most: int) -> None:
    found = connection.execute("SELECT series FROM poll_gone LIMIT 1").fetchone()
    if found is None:
        return
    connection.execute(_FORGET_SERIES, (found[0], most))
    connection.execute(
        "DELETE FROM poll_gone WHERE series = ?1 AND NOT EXISTS (SELECT 1 FROM poll_item WHERE series = ?1)", found
    )


def poll_state(row: Sequence[object]) -> PollState:
    """The state of a row of READ_POLLS."""
    source, series, token, text = row
    return PollState.from_text(str(source), str(series), str(token), str(text))


READ_POLLS = "SELECT source, series, token, state FROM poll"
KNOWN_ITEMS = """
SELECT i.id FROM json_each(?2) wanted CROSS JOIN poll_item i ON i.series = ?1 AND i.id = wanted.value
"""
# An id that was seen lately is not written again: most items stay for many polls.
_SEE = """
INSERT INTO poll_item VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at WHERE seen_at < ?
"""
_FORGET = """
DELETE FROM poll_item WHERE (series, id) IN (
    SELECT series, id FROM poll_item WHERE series = ? AND seen_at < ? ORDER BY seen_at LIMIT ?
)
"""
_FORGET_SERIES = """
DELETE FROM poll_item WHERE (series, id) IN (SELECT series, id FROM poll_item WHERE series = ? LIMIT ?)
"""
