"""Takes over the running deliveries of a lost node, and removes the node."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from psycopg.types.numeric import Int8

from router.domain.deliveries import State
from router.domain.own_events import PATH
from router.store.changes import DueListener
from router.store.contract import MAX_INTERRUPTIONS
from router.store.fleet import Released
from router.store.postgres import lanes
from router.store.postgres.arrays import Texts
from router.store.postgres.clock import NOW
from router.store.postgres.jobs.job import Finish, Simple
from router.store.postgres.nodes import NODE_COLUMNS, node_state
from router.store.postgres.transaction import Rows, Transaction

_ENDED = "the node that ran it was lost"
_FORGOTTEN = "the answer to its claim was lost"
_TOO_OFTEN = (
    f"interrupted {MAX_INTERRUPTIONS} times in a row: it may be what ends the nodes; replay it when that is fixed"
)


@dataclass(slots=True)
class TakeOver:
    """Some deliveries of a node become pending again."""

    node: int
    delivery_ids: Sequence[str]
    counts: bool  #: whether it counts as an interruption
    now: int
    tokens: Sequence[str] | None = None  #: of claims that a living node does not know; None: the node must be lost
    is_append: ClassVar[bool] = False
    order: ClassVar[int] = 2
    weight: ClassVar[int] = 0
    lanes: ClassVar[Sequence[UUID]] = ()
    groups: ClassVar[Sequence[UUID]] = ()

    @property
    def ids(self) -> Sequence[str]:
        """See WriteJob.ids."""
        return self.delivery_ids

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["TakeOver"]) -> Finish:
        """Take over for each job."""
        answers = []
        for job in jobs:
            transaction.run(_LOCK_NODE, (Int8(job.node),))
            values = (
                Texts(job.delivery_ids),
                Int8(job.node),
                Texts(job.tokens or ()),
                _FORGOTTEN if job.tokens is not None else _ENDED,
                int(job.counts),
                MAX_INTERRUPTIONS,
                _TOO_OFTEN,
                Int8(job.now),
                transaction.writer,
            )
            taken = transaction.run(_TAKE, values)
            transaction.run(_TELL_DEAD, (Texts(job.delivery_ids), PATH, Int8(job.now)))
            answers.append((taken, lanes.unblock(transaction, job.delivery_ids)))

        def finish(due: DueListener) -> list[list[Released]]:
            results = []
            for taken, unblocked in answers:
                found = []
                skipped = lanes.report(unblocked, due)
                for event, id_, rule, action, target, attempt, state, at, blocked in taken.all():
                    now = State.SKIPPED if id_ in skipped else State(state)
                    found.append(Released(event, id_, rule, action, target, attempt, now))
                    if now is State.PENDING and not blocked:
                        due(target, at)
                results.append(found)
            return results

        return finish


@dataclass(slots=True)
class RemoveNode(Simple):
    """Removes a lost node, with its shares, when it has nothing running. Returns its facts, unless it left by itself or
    another node has removed it."""

    node: int
    leaves: bool = False  #: the node itself leaves

    @classmethod
    def send(cls, transaction: Transaction, jobs: Sequence["RemoveNode"]) -> Finish:
        """Remove each."""
        removed = [cls._remove(transaction, job) for job in jobs]
        return lambda _: [[node_state((*row, 0)).facts for row in rows.all()] for rows in removed]

    @staticmethod
    def _remove(transaction: Transaction, job: "RemoveNode") -> Rows:
        node = Int8(job.node)
        if job.leaves:
            transaction.run(_LEAVE, (node,))
            transaction.run("DELETE FROM webhook_router.leader WHERE node = %b", (node,))
        removed = transaction.run(_REMOVE, (node,))
        transaction.run(_REMOVE_SHARES)
        return removed


_LOCK_NODE = "SELECT 1 FROM webhook_router.node WHERE id = %b FOR UPDATE"

_TAKE = f"""
WITH gone AS MATERIALIZED (
    SELECT d.seq FROM unnest(%b::text[]) AS one (id) JOIN webhook_router.delivery d ON d.id = one.id,
        (VALUES (%b, %b::text[])) AS job (node, tokens)
    WHERE d.state = 'running' AND d.node = job.node AND (
        d.token = ANY (job.tokens)
        OR NOT EXISTS (SELECT 1 FROM webhook_router.node n WHERE n.id = job.node AND n.expires_at > {NOW})
    )
    ORDER BY d.seq FOR UPDATE OF d
), how (error, counts, most, too_often, now) AS (
    VALUES (%s::text, %s::int, %s::int, %s::text, %b)
), taken AS (
    UPDATE webhook_router.delivery d SET
        token = NULL, node = NULL, interruptions = d.interruptions + how.counts,
        state = CASE WHEN d.interruptions + how.counts >= how.most THEN 'dead' ELSE 'pending' END,
        error = CASE WHEN d.interruptions + how.counts >= how.most THEN how.too_often ELSE d.error END
    FROM gone, how WHERE d.seq = gone.seq
    RETURNING d.seq, d.id, d.event, d.rule, d.action, d.target, d.tries, d.state, d.next_attempt_at, d.blocked
), ended AS (
    UPDATE webhook_router.attempt a SET
        finished_at = greatest(a.started_at, how.now), outcome = 'interrupted', error = how.error
    FROM taken, how WHERE a.delivery = taken.seq AND a.number = taken.tries AND a.finished_at IS NULL
    RETURNING a.delivery, a.number
), noted AS (
    INSERT INTO webhook_router.settled (writer, delivery, number) SELECT %b, delivery, number FROM ended
)
SELECT e.id, taken.id, taken.rule, taken.action, taken.target,
    taken.tries, taken.state, taken.next_attempt_at, taken.blocked
FROM taken JOIN webhook_router.event e ON e.seq = taken.event ORDER BY taken.seq
"""  # noqa: S608 - a constant

# A delivery that died this way is reported by the node that next reads the gathered notices: it has the rules. The
# payload is that of `died` in router/domain/own_events.py.
_TELL_DEAD = """
INSERT INTO webhook_router.notice AS n (kind, subject, opened_at, count, last, event, newest)
SELECT 'delivery.dead', d.rule || '/' || d.action, 0, count(*), (array_agg(
    json_build_object(
        'kind', 'delivery.dead', 'subject', d.rule || '/' || d.action, 'count', 1, 'at', shown.now,
        'delivery', json_build_object(
            'id', d.id, 'rule', d.rule, 'action', d.action, 'type', d.type, 'target', d.target,
            'attempts', d.attempts, 'error', d.error, 'created_at', shown.created
        ),
        'event', json_build_object('id', e.id, 'source', e.source)
    )::text ORDER BY d.seq DESC
))[1], '', max(d.id)
FROM unnest(%b::text[]) AS one (id) JOIN webhook_router.delivery d ON d.id = one.id
JOIN webhook_router.event e ON e.seq = d.event AND e.path <> %b::text
CROSS JOIN LATERAL (
    SELECT to_char(to_timestamp(at / 1000.0) AT TIME ZONE 'UTC', form), to_char(
        to_timestamp(d.created_at / 1000.0) AT TIME ZONE 'UTC', form
    ) FROM (VALUES (%b::bigint, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) AS given (at, form)
) AS shown (now, created)
WHERE d.state = 'dead' AND d.xmin = pg_current_xact_id()::xid
GROUP BY d.rule, d.action ORDER BY d.rule, d.action
ON CONFLICT (kind, subject) DO UPDATE SET count = n.count + excluded.count, last = excluded.last
"""

_LEAVE = "UPDATE webhook_router.node SET expires_at = 0 WHERE id = %b"

# The statement that removes a lost node also gathers the notice: the fleet reports it once, even if a node is killed
# meanwhile.
_REMOVE = f"""
WITH removed AS (
    DELETE FROM webhook_router.node n WHERE n.id = %b AND n.expires_at <= {NOW}
        AND NOT EXISTS (SELECT 1 FROM webhook_router.delivery d WHERE d.state = 'running' AND d.node = n.id)
    RETURNING {NODE_COLUMNS}
), lost AS (
    SELECT * FROM removed WHERE expires_at > 0 -- 0: it left by itself
), gathered AS (
    INSERT INTO webhook_router.notice AS n (kind, subject, opened_at, count, last, event, newest)
    SELECT 'node.lost', name, 0, 1, json_build_object(
        'kind', 'node.lost', 'subject', name, 'count', 1, 'at', to_char(shown.now, shown.form),
        'node', json_build_object('name', name, 'host', host, 'seen_at', to_char(
            to_timestamp(renewed_at / 1000.0) AT TIME ZONE 'UTC', shown.form
        ))
    )::text, '', 'node-' || id
    FROM lost, (VALUES (clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) AS shown (now, form)
    ON CONFLICT (kind, subject) DO UPDATE SET count = n.count + 1, last = excluded.last
)
SELECT {NODE_COLUMNS} FROM lost
"""  # noqa: S608 - constants

_REMOVE_SHARES = """
DELETE FROM webhook_router.share s WHERE NOT EXISTS (SELECT 1 FROM webhook_router.node n WHERE n.id = s.node)
"""
