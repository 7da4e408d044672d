"""Settle: an attempt ends, and its delivery succeeds, dies or waits for another try."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from router.domain.deliveries import Settlement, State
from router.domain.outcomes import Outcome, OutcomeKind
from router.store.changes import DueListener
from router.store.json_columns import sent_text
from router.store.postgres import lanes
from router.store.postgres.arrays import Numbers, Texts, columns
from router.store.postgres.groups import groups_of
from router.store.postgres.jobs.job import Finish
from router.store.postgres.jobs.notices import tell
from router.store.postgres.jobs.planned import lanes_of
from router.store.postgres.transaction import Transaction


@dataclass(slots=True)
class Settle:
    """The ends of several attempts."""

    settlements: Sequence[Settlement]
    is_append: ClassVar[bool] = False
    order: ClassVar[int] = 1
    weight: ClassVar[int] = 0

    @property
    def lanes(self) -> Sequence[UUID]:
        """See WriteJob.lanes. They are those of the deliveries that its notices plan."""
        return [lane for done in self.settlements for notice in done.notices for lane in lanes_of(notice.plan)]

    @property
    def groups(self) -> Sequence[UUID]:
        """See WriteJob.groups. They are those of the deliveries that its notices plan."""
        return [group for done in self.settlements for notice in done.notices for group in groups_of(notice.plan)]

    @property
    def ids(self) -> Sequence[str]:
        """See WriteJob.ids."""
        return [done.delivery_id for done in self.settlements]

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["Settle"]) -> Finish:
        """Settle the attempts of all jobs together."""
        every = [done for job in jobs for done in job.settlements]
        rounds = [(numbers, _send(transaction, [every[n] for n in numbers])) for numbers in _rounds(every)]

        def finish(due: DueListener) -> list[list[State | None]]:
            results: list[State | None] = [None] * len(every)
            for numbers, done in rounds:
                for number, result in zip(numbers, done(due), strict=True):
                    results[number] = result
            left = iter(results)
            return [[next(left) for _ in job.settlements] for job in jobs]

        return finish


def _rounds(every: Sequence[Settlement]) -> Iterable[list[int]]:
    """Their numbers in rounds, so that no delivery is twice in one round: only one token can be valid."""
    left = list(range(len(every)))
    while left:
        taken: dict[str, int] = {}
        for number in left:
            taken.setdefault(every[number].delivery_id, number)
        # By id, so that all writers lock rows in one order.
        yield [taken[id_] for id_ in sorted(taken)]
        left = [number for number in left if taken[every[number].delivery_id] != number]


def _send(transaction: Transaction, every: Sequence[Settlement]) -> Any:
    settled = transaction.run(_SETTLE, (*columns([_row(done) for done in every], *_KINDS), transaction.writer))
    unblocked = lanes.unblock(transaction, [done.delivery_id for done in every])
    told = [tell(transaction, notice, settled=done.delivery_id) for done in every for notice in done.notices]

    def finish(due: DueListener) -> list[State | None]:
        skipped = lanes.report(unblocked, due)
        states: dict[str, State] = {}
        for id_, target, at, state, is_owned in settled.all():
            states[id_] = State.SKIPPED if id_ in skipped else State(state)
            if is_owned and states[id_] is State.PENDING:
                due(target, at)
        for finish_one in told:
            finish_one(due)
        return [states.get(done.delivery_id) for done in every]

    return finish


def _row(done: Settlement) -> tuple[Any, ...]:
    outcome = done.outcome
    return (
        done.delivery_id,
        done.token,
        done.state.value,
        done.next_attempt_at,
        _is_counted(outcome),
        _storable(outcome.error),
        done.ruleset,
        done.finished_at,
        outcome.kind.value,
        outcome.status,
        _storable(outcome.excerpt),
        None if outcome.sent is None else sent_text(outcome.sent),
    )


def _is_counted(outcome: Outcome) -> int:
    """1: it counts as an attempt; 0: as an interruption; -1: as neither."""
    return -1 if outcome.is_excused else int(outcome.kind is not OutcomeKind.INTERRUPTED)


def _storable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 can't write.

    The target was called already, so a strange answer must not prevent the settlement.
    """
    return text.encode(errors="replace").decode()


_KINDS = (Texts, Texts, Texts, Numbers, Numbers, Texts, Texts, Numbers, Texts, Numbers, Texts, Texts)

# Only the token decides, whether or not a lease is over: what was done is recorded. An attempt that has just ended is
# ours too: the answer to an earlier COMMIT was lost.
_SETTLE = """
WITH done AS MATERIALIZED (
    SELECT * FROM unnest(
        %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::bigint[],
        %b::text[], %b::bigint[], %b::text[], %b::text[]
    ) AS done (id, token, state, at, counted, error, ruleset, finished_at, outcome, status, excerpt, sent)
), owned AS (
    UPDATE webhook_router.delivery d SET
        state = done.state,
        token = NULL,
        node = NULL,
        next_attempt_at = CASE WHEN done.state = 'pending' THEN done.at ELSE d.next_attempt_at END,
        attempts = d.attempts + (done.counted = 1)::int,
        interruptions = CASE WHEN done.counted = 1 THEN 0 ELSE d.interruptions + (done.counted = 0)::int END,
        first_attempt_at = CASE WHEN done.counted = 1 AND d.first_attempt_at IS NULL
            THEN (SELECT a.started_at FROM webhook_router.attempt a WHERE a.delivery = d.seq AND a.number = d.tries)
            ELSE d.first_attempt_at END,
        error = done.error,
        ruleset = coalesce(done.ruleset, d.ruleset)
    FROM done
    WHERE d.id = done.id AND d.state || '' = 'running' AND d.token = done.token
    RETURNING d.seq, d.id, d.target, d.next_attempt_at, d.state, d.tries,
        done.finished_at, done.outcome, done.status, done.error, done.excerpt, done.sent
), ended AS (
    UPDATE webhook_router.attempt a SET
        finished_at = owned.finished_at, outcome = owned.outcome, status = owned.status, error = owned.error,
        excerpt = owned.excerpt, sent = owned.sent
    FROM owned WHERE a.delivery = owned.seq AND a.number = owned.tries
    RETURNING a.delivery, a.number
), noted AS (
    INSERT INTO webhook_router.settled (writer, delivery, number) SELECT %b, delivery, number FROM ended
)
SELECT done.id, coalesce(owned.target, ''), coalesce(owned.next_attempt_at, 0), coalesce(owned.state, (
    SELECT state FROM webhook_router.delivery WHERE id = done.id
)), owned.id IS NOT NULL
FROM done LEFT JOIN owned ON owned.id = done.id
WHERE owned.id IS NOT NULL OR EXISTS (
    SELECT 1 FROM webhook_router.delivery d
    JOIN webhook_router.attempt a ON a.delivery = d.seq AND a.number = d.tries
    WHERE d.id = done.id AND d.token IS NULL AND a.finished_at = done.finished_at AND a.outcome = done.outcome
        AND a.status IS NOT DISTINCT FROM done.status AND a.error = done.error AND a.excerpt = done.excerpt
)
"""
