"""Polls: the state of a polled source, the ids in its answer, and the events, in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from psycopg.types.numeric import Int8

from router.domain.polls import KEPT_IDS_MS, REFRESH_MS, PollResult, PollState
from router.store.changes import DueListener
from router.store.postgres.arrays import Texts, columns
from router.store.postgres.groups import groups_of
from router.store.postgres.jobs.append import AppendEvent
from router.store.postgres.jobs.job import Finish, Simple, none_for
from router.store.postgres.jobs.plan_again import keep_text
from router.store.postgres.jobs.planned import lanes_of
from router.store.postgres.transaction import Transaction

FORGOTTEN = 1000  #: ids that a write removes, in addition to twice as many as it adds


@dataclass(slots=True)
class TakePoll:
    """What a poll found."""

    result: PollResult
    is_append: ClassVar[bool] = True
    order: ClassVar[int] = 1
    ids: ClassVar[Sequence[str]] = ()

    @property
    def weight(self) -> int:
        """About how many bytes of memory the job takes while it waits."""
        events = sum(len(one.event.body) + 1024 + 512 * len(one.plan) for one in self.result.events)
        return events + 100 * len(self.result.seen) + 1024

    @property
    def lanes(self) -> Sequence[UUID]:
        """See WriteJob.lanes."""
        return [lane for one in self.result.events for lane in lanes_of(one.plan)]

    @property
    def groups(self) -> Sequence[UUID]:
        """See WriteJob.groups."""
        return [group for one in self.result.events for group in groups_of(one.plan)]

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["TakePoll"]) -> Finish:
        """Store each poll, unless another one was stored since it began."""
        sent = [_take(transaction, job.result) for job in sorted(jobs, key=lambda job: job.result.state.source)]
        order = sorted(range(len(jobs)), key=lambda number: jobs[number].result.state.source)

        def finish(due: DueListener) -> list[bool]:
            results = [False] * len(jobs)
            for number, done in zip(order, sent, strict=True):
                results[number] = done(due)
            return results

        return finish


@dataclass(slots=True)
class ForgetPolls(Simple):
    """Polled sources that the rules no longer have."""

    sources: Sequence[str]

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["ForgetPolls"]) -> Finish:
        """Forget each."""
        for job in jobs:
            for source in sorted(job.sources):
                transaction.run(_RETIRE, (source,))
                transaction.run("DELETE FROM webhook_router.poll WHERE source = %s", (source,))
            _forget_gone(transaction)
        return none_for(jobs)


def _take(transaction: Transaction, result: PollResult) -> Callable[[DueListener], bool]:
    state = result.state
    row = (state.source, state.series, state.token, state.as_text())
    # This waits for its result, since the events depend on it. A poll is rare, and one more round trip costs little.
    if result.before:
        transaction.run(_RETIRE_OTHER, (state.source, state.series, result.before))
        done = bool(transaction.run(_CHANGE, (*row[1:], state.source, result.before)).all())
    else:
        done = bool(transaction.run(_BEGIN, row).all())
    if not done:
        # When the answer to an earlier COMMIT was lost, this poll itself may be stored already.
        found = transaction.run("SELECT token FROM webhook_router.poll WHERE source = %s", (state.source,)).all()
        is_same = found == [(state.token,)]
        return lambda _: is_same
    if result.seen:
        ids = sorted(dict.fromkeys(result.seen))
        transaction.run(
            _SEE, (state.series, Int8(result.now), *columns([(i,) for i in ids], Texts), Int8(result.now - REFRESH_MS))
        )
    if result.ruleset is not None:
        keep_text(transaction, result.ruleset, result.now)
    finish = AppendEvent.send(transaction, _appends(result)) if result.events else None
    if result.whole:
        transaction.run(_FORGET, (state.series, Int8(result.now - KEPT_IDS_MS), 2 * len(result.seen) + FORGOTTEN))
        _forget_gone(transaction)

    def finished(due: DueListener) -> bool:
        if finish is not None:
            finish(due)
        return True

    return finished


def _appends(result: PollResult) -> list[AppendEvent]:
    return [
        AppendEvent(
            one.event, one.plan, one.routing.ruleset, one.dedupe_window, one.routing.matched, one.routing.errors
        )
        for one in result.events
    ]


def _forget_gone(transaction: Transaction) -> None:
    transaction.run(_FORGET_SERIES, (FORGOTTEN,))
    transaction.run(_FORGET_GONE)


def poll_state(row: Sequence[str]) -> PollState:
    """The state of a row of READ_POLLS."""
    source, series, token, text = row
    return PollState.from_text(source, series, token, text)


READ_POLLS = "SELECT source, series, token, state FROM webhook_router.poll"
KNOWN_ITEMS = "SELECT id FROM webhook_router.poll_item WHERE series = %s AND id = ANY (%s::text[])"

_CHANGE = """
UPDATE webhook_router.poll SET series = %s, token = %s, state = %s WHERE source = %s AND token = %s RETURNING true
"""
_BEGIN = """
INSERT INTO webhook_router.poll (source, series, token, state) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING true
"""
_RETIRE = """
INSERT INTO webhook_router.poll_gone SELECT series FROM webhook_router.poll WHERE source = %s ON CONFLICT DO NOTHING
"""
_RETIRE_OTHER = """
INSERT INTO webhook_router.poll_gone
SELECT series FROM webhook_router.poll WHERE source = %s AND series <> %s AND token = %s ON CONFLICT DO NOTHING
"""
# An id that was seen lately is not written again: most items stay for many polls.
_SEE = """
INSERT INTO webhook_router.poll_item AS i (series, id, seen_at)
SELECT %s, seen.id, %b FROM unnest(%b::text[]) AS seen (id)
ON CONFLICT (series, id) DO UPDATE SET seen_at = excluded.seen_at WHERE i.seen_at < %b
"""
_FORGET = """
DELETE FROM webhook_router.poll_item WHERE (series, id) IN (
    SELECT series, id FROM webhook_router.poll_item WHERE series = %s AND seen_at < %b
    ORDER BY seen_at LIMIT %s::int FOR UPDATE SKIP LOCKED
)
"""
_FORGET_SERIES = """
DELETE FROM webhook_router.poll_item WHERE (series, id) IN (
    SELECT i.series, i.id FROM webhook_router.poll_gone g JOIN webhook_router.poll_item i ON i.series = g.series
    LIMIT %s::int FOR UPDATE OF i SKIP LOCKED
)
"""
_FORGET_GONE = """
DELETE FROM webhook_router.poll_gone g
WHERE NOT EXISTS (SELECT 1 FROM webhook_router.poll_item i WHERE i.series = g.series)
"""
