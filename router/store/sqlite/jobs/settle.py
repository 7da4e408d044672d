"""Settle: an attempt ends, and its delivery succeeds, dies or waits for another try."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import apsw

from router.domain.deliveries import Settlement, State
from router.domain.outcomes import Outcome, OutcomeKind
from router.store.changes import DueListener
from router.store.json_columns import sent_text
from router.store.sqlite.jobs.groups import after_attempt
from router.store.sqlite.jobs.many_rows import write_rows
from router.store.sqlite.jobs.notices import tell
from router.store.sqlite.jobs.order import report_first


@dataclass(slots=True)
class Settle:
    """The ends of several attempts."""

    settlements: Sequence[Settlement]
    weight: ClassVar[int] = 0
    is_append: ClassVar[bool] = False

    @classmethod
    def run(cls, connection: apsw.Connection, jobs: Sequence["Settle"], due: DueListener) -> list[list[State | None]]:
        """Settle the attempts of all jobs together."""
        results = iter(_settle_all(connection, [done for job in jobs for done in job.settlements], due))
        return [[next(results) for _ in job.settlements] for job in jobs]


def _settle_all(connection: apsw.Connection, settlements: Sequence[Settlement], due: DueListener) -> list[State | None]:
    """Settle many with two statements. If two are of one delivery, settle one by one, since only one token can be
    valid."""
    if len({done.delivery_id for done in settlements}) == len(settlements):
        return _settle(connection, settlements, due)
    return [result for done in settlements for result in _settle(connection, [done], due)]


def _settle(connection: apsw.Connection, settlements: Sequence[Settlement], due: DueListener) -> list[State | None]:
    rows = write_rows(connection, _SETTLE, [_settle_row(done) for done in settlements])
    owned = {str(id_): rest for id_, *rest in rows}
    settled = [done for done in settlements if done.delivery_id in owned]
    write_rows(connection, _END_ATTEMPTS, [_attempt_row(done, owned[done.delivery_id][0]) for done in settled])
    skipped: set[str] = set()
    for done in settled:
        seq, target, rule, action, order_key, latest_key = owned[done.delivery_id]
        if latest_key is not None and after_attempt(connection, seq, (rule, action, latest_key), due):
            connection.execute(_TELL_SKIPPED, (seq,))
            skipped.add(done.delivery_id)
        elif done.state is State.PENDING:
            due(str(target), done.next_attempt_at)
        elif order_key is not None:
            report_first(connection, (rule, action, order_key), due)
    notices = [
        notice
        for done in settled
        for notice in done.notices
        if not (done.delivery_id in skipped and notice.kind == "delivery.dead")
    ]
    if notices:
        tell(connection, notices, due)
    return [_state(done, owned, skipped) for done in settlements]


def _state(done: Settlement, owned: Container[str], skipped: Container[str]) -> State | None:
    if done.delivery_id not in owned:
        return None
    return State.SKIPPED if done.delivery_id in skipped else done.state


def _settle_row(done: Settlement) -> tuple[Any, ...]:
    outcome = done.outcome
    return (
        done.delivery_id,
        done.token,
        done.state.value,
        done.next_attempt_at,
        _is_counted(outcome),
        _storable(outcome.error),
        done.ruleset,
    )


def _attempt_row(done: Settlement, seq: object) -> tuple[Any, ...]:
    outcome = done.outcome
    sent = None if outcome.sent is None else sent_text(outcome.sent)
    texts = (_storable(outcome.error), _storable(outcome.excerpt), sent)
    return (seq, done.finished_at, outcome.kind.value, outcome.status, *texts)


def _is_counted(outcome: Outcome) -> int:
    """1: it counts as an attempt; 0: as an interruption; -1: as neither."""
    return -1 if outcome.is_excused else int(outcome.kind is not OutcomeKind.INTERRUPTED)


def _storable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 can't write.

    The target was called already, so a strange answer must not prevent the settlement.
    """
    return text.encode(errors="replace").decode()


_SETTLE = """
WITH done (id, token, state, at, counted, error, ruleset) AS (VALUES {})
UPDATE delivery SET
    state = done.state,
    token = NULL,
    next_attempt_at = CASE WHEN done.state = 'pending' THEN done.at ELSE next_attempt_at END,
    attempts = attempts + (done.counted = 1),
    interruptions = CASE WHEN done.counted = 1 THEN 0 ELSE interruptions + (done.counted = 0) END,
    first_attempt_at = CASE WHEN done.counted = 1 AND first_attempt_at IS NULL
        THEN (SELECT started_at FROM attempt WHERE delivery = delivery.seq AND finished_at IS NULL)
        ELSE first_attempt_at END,
    error = done.error,
    ruleset = coalesce(done.ruleset, delivery.ruleset)
FROM done
WHERE delivery.id = done.id AND delivery.state = 'running' AND delivery.token = done.token
RETURNING delivery.id, seq, target, rule, action, order_key, latest_key
"""

# After the attempt's end is recorded, see schema_9.sql.
_TELL_SKIPPED = "INSERT INTO settled (delivery, number) VALUES (?, 0)"

_END_ATTEMPTS = """
WITH done (delivery, finished_at, outcome, status, error, excerpt, sent) AS (VALUES {})
UPDATE attempt SET
    finished_at = done.finished_at, outcome = done.outcome, status = done.status, error = done.error,
    excerpt = done.excerpt, sent = done.sent
FROM done
WHERE attempt.delivery = done.delivery AND attempt.finished_at IS NULL
"""
