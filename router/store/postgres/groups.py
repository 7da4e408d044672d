"""Groups: which deliveries with the same latest_by or once_by value are made, and which are skipped.

A group is identified by the hash of its name, `group_lane`, as an order is by its lane. Whoever changes a group holds
the group's lock, and reads the group in a later statement.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.numeric import Int8

from router.domain.deliveries import PlannedDelivery
from router.domain.groups import Latest, Once, Skipped, SkipReason
from router.store.changes import DueListener
from router.store.postgres.arrays import Texts, digest, stored
from router.store.postgres.transaction import Row, Rows, Transaction


def group_of(planned: PlannedDelivery) -> UUID | None:
    """The group of a planned delivery; None if it has none."""
    group = planned.group
    if group is None:
        return None
    return (latest_lane if isinstance(group, Latest) else once_lane)(planned.rule, planned.action, group.key)


def latest_lane(rule: str, action: str, key: str) -> UUID:
    """The group of a latest_by value."""
    return digest(rule, action, "latest", key)


def once_lane(rule: str, action: str, key: str) -> UUID:
    """The group of a once_by value."""
    return digest(rule, action, "once", key)


def groups_of(plan: Iterable[PlannedDelivery]) -> list[UUID]:
    """The groups of planned deliveries."""
    return [group for d in plan if d.group is not None and (group := group_of(d)) is not None]


@dataclass(slots=True)
class Joined:
    """The answers of `join`, for `report`."""

    skipped: list[Rows]
    due: Rows


def join(transaction: Transaction, members: Sequence[tuple[PlannedDelivery, int]]) -> Joined:
    """Put deliveries that this transaction inserted into their groups, one after the other, each with its event's
    receipt (ms).

    The groups are locked, and so are the orders of their pending deliveries.
    """
    skipped: list[Rows] = []
    for planned, at in members:
        group = group_of(planned)
        if isinstance(planned.group, Latest):
            transaction.run(_LOCK_PENDING, (group,))
            times = (Int8(at), Int8(planned.group.wait_ms), Int8(planned.group.max_wait_ms))
            transaction.run(_JOIN_LATEST, (*times, group, stored(planned.group.key), group, planned.id))
            skipped.append(transaction.run(_SKIP_OLDER, (planned.id, group, transaction.writer)))
        elif isinstance(planned.group, Once):
            within = (Int8(at), Int8(planned.group.within_ms))
            values = (*within, group, stored(planned.group.key), planned.id, transaction.writer)
            skipped.append(transaction.run(_JOIN_ONCE, values))
            transaction.run(_FORGET_FIRSTS, (Int8(at),))
            transaction.run(_PUT_FIRST, (*within, planned.id))
    ids = Texts([planned.id for planned, _ in members])
    return Joined(skipped, transaction.run(_DUE, (ids,)))


def report(joined: Joined, due: DueListener) -> set[str]:
    """Report what `join` skipped and made due. Returns the ids of the skipped deliveries."""
    for target, at in joined.due.all():
        due(target, at)
    return {skipped.delivery_id for rows in joined.skipped for skipped in report_skipped(rows.all(), due)}


def report_skipped(rows: Iterable[Row], due: DueListener) -> list[Skipped]:
    """Report skipped deliveries, from rows of SKIPPED_COLUMNS."""
    found = [
        Skipped(id_, event, rule, action, target, SkipReason(reason), skipped_for)
        for id_, event, rule, action, target, reason, skipped_for, *_ in rows
    ]
    for one in found:
        due.skipped(one)
    return found


def make_way(transaction: Transaction, ids: Sequence[str]) -> Rows:
    """After attempts at these deliveries have ended, or an operator ended them: start the deliveries that waited for
    them, and skip failed ones for which a newer one waits.

    Returns rows for `report_way`.
    """
    return transaction.run(_MAKE_WAY, (Texts(ids), transaction.writer))


def report_way(rows: Rows, due: DueListener) -> set[str]:
    """Report what became due or skipped, from the result of `make_way`. Returns the ids of the skipped deliveries."""
    every = rows.all()
    for target, at in [row[7:] for row in every if row[0] is None]:
        due(target, at)
    return {one.delivery_id for one in report_skipped((row for row in every if row[0] is not None), due)}


_SKIPPED_COLUMNS = "s.id, e.id, s.rule, s.action, s.target, s.skip_reason, s.skipped_for"

# A claim does not take the group's lock. This waits for one that is under way, so that the next statement sees which
# delivery of the group runs, and keeps later claims away from what is about to be skipped.
_LOCK_PENDING = """
SELECT 1 FROM webhook_router.delivery d
WHERE d.group_lane = %s AND d.latest_key IS NOT NULL AND d.state IN ('pending', 'running') AND d.state || '' = 'pending'
ORDER BY d.seq FOR UPDATE
"""

# Only what this transaction wrote: a delivery that was stored before has joined its group already. If the longest wait
# was over long ago, use no older time: the clock may be set back by less than that.
_JOIN_LATEST = """
WITH given (at, wait, most) AS (VALUES (%b, %b, %b)), found AS MATERIALIZED (
    SELECT coalesce(bool_or(g.state = 'running'), false) AS running,
        min(g.wait_since) FILTER (WHERE g.state = 'pending' AND g.attempts = 0 AND g.interruptions = 0) AS since
    FROM webhook_router.delivery g
    WHERE g.group_lane = %s AND g.latest_key IS NOT NULL AND g.state IN ('pending', 'running')
)
UPDATE webhook_router.delivery d SET
    latest_key = %s,
    group_lane = %s,
    wait_since = CASE WHEN given.wait > 0 THEN greatest(least(given.at, found.since), given.at - given.most) END,
    next_attempt_at = greatest(
        given.at, least(given.at + given.wait, least(given.at, found.since) + given.most)
    ),
    blocked = d.blocked | CASE WHEN found.running THEN 4 ELSE 0 END
FROM given, found
WHERE d.id = %s AND d.xmin = pg_current_xact_id()::xid
"""

_SKIP_OLDER = f"""
WITH s AS (
    UPDATE webhook_router.delivery d SET state = 'skipped', blocked = 0, skip_reason = 'newer', skipped_for = newest.id
    FROM webhook_router.delivery newest
    WHERE newest.id = %s AND newest.xmin = pg_current_xact_id()::xid
        AND d.group_lane = %s AND d.latest_key IS NOT NULL AND d.state IN ('pending', 'running')
        AND d.state = 'pending' AND d.seq < newest.seq
    RETURNING d.seq, d.id, d.event, d.rule, d.action, d.target, d.skip_reason, d.skipped_for
), noted AS (
    INSERT INTO webhook_router.settled (writer, delivery, number) SELECT %b, seq, 0 FROM s
)
SELECT {_SKIPPED_COLUMNS} FROM s JOIN webhook_router.event e ON e.seq = s.event
"""  # noqa: S608 - constants

_JOIN_ONCE = f"""
WITH given (at, within, digest, key) AS (VALUES (%b, %b, %s::uuid, %s::text)), joined AS (
    UPDATE webhook_router.delivery d SET
        state = CASE WHEN first.delivery IS NULL THEN d.state ELSE 'skipped' END,
        blocked = CASE WHEN first.delivery IS NULL THEN d.blocked ELSE 0 END,
        once_key = CASE WHEN first.delivery IS NULL THEN given.key END,
        group_lane = CASE WHEN first.delivery IS NULL THEN given.digest END,
        skip_reason = CASE WHEN first.delivery IS NULL THEN NULL ELSE 'earlier' END,
        skipped_for = first.delivery
    FROM given LEFT JOIN webhook_router.once first ON first.digest = given.digest
        AND first.received_at > given.at - given.within AND first.received_at < given.at + given.within
    WHERE d.id = %s AND d.xmin = pg_current_xact_id()::xid
    RETURNING d.seq, d.id, d.event, d.rule, d.action, d.target, d.skip_reason, d.skipped_for, d.state
), s AS (
    SELECT * FROM joined WHERE state = 'skipped'
), noted AS (
    INSERT INTO webhook_router.settled (writer, delivery, number) SELECT %b, seq, 0 FROM s
)
SELECT {_SKIPPED_COLUMNS} FROM s JOIN webhook_router.event e ON e.seq = s.event
"""  # noqa: S608 - constants

# Twice as many as are added, so that the table shrinks to those in force.
_FORGET_FIRSTS = """
DELETE FROM webhook_router.once o USING (
    SELECT digest FROM webhook_router.once WHERE expires_at <= %b ORDER BY expires_at LIMIT 2 FOR UPDATE SKIP LOCKED
) AS over WHERE o.digest = over.digest
"""

_PUT_FIRST = """
INSERT INTO webhook_router.once AS o (digest, rule, action, key, delivery, received_at, expires_at)
SELECT d.group_lane, d.rule, d.action, d.once_key, d.id, given.at, given.at + given.within
FROM (VALUES (%b, %b)) AS given (at, within), webhook_router.delivery d
WHERE d.id = %s AND d.once_key IS NOT NULL AND d.xmin = pg_current_xact_id()::xid
ON CONFLICT (digest) DO UPDATE SET
    delivery = excluded.delivery, received_at = excluded.received_at, expires_at = excluded.expires_at
"""

_DUE = """
SELECT d.target, d.next_attempt_at FROM unnest(%b::text[]) AS one (id)
JOIN webhook_router.delivery d ON d.id = one.id WHERE d.state || '' = 'pending' AND d.blocked = 0
"""

# Of one latest_by value at most one delivery is pending, and one running. First the skipped ones, then what became due.
_MAKE_WAY = f"""
WITH gone AS MATERIALIZED (
    SELECT d.seq, d.id, d.group_lane, d.latest_key, d.once_key, d.state
    FROM unnest(%b::text[]) AS one (id) JOIN webhook_router.delivery d ON d.id = one.id
    WHERE d.group_lane IS NOT NULL AND d.state <> 'running'
), newer AS MATERIALIZED (
    SELECT gone.seq AS old, n.seq, n.id FROM gone CROSS JOIN LATERAL (
        SELECT w.seq, w.id FROM webhook_router.delivery w
        WHERE w.group_lane = gone.group_lane AND w.latest_key IS NOT NULL AND w.state IN ('pending', 'running')
            AND w.state = 'pending' AND w.blocked & 4 = 4 AND w.seq > gone.seq AND NOT EXISTS (
                SELECT 1 FROM webhook_router.delivery r
                WHERE r.group_lane = gone.group_lane AND r.latest_key IS NOT NULL
                    AND r.state IN ('pending', 'running') AND r.state || '' = 'running' OFFSET 0
            ) OFFSET 0
    ) AS n WHERE gone.latest_key IS NOT NULL
), s AS (
    UPDATE webhook_router.delivery d SET state = 'skipped', blocked = 0, skip_reason = 'newer', skipped_for = newer.id
    FROM newer WHERE d.seq = newer.old AND d.state IN ('pending', 'dead')
    RETURNING d.seq, d.id, d.event, d.rule, d.action, d.target, d.skip_reason, d.skipped_for
), noted AS (
    INSERT INTO webhook_router.settled (writer, delivery, number) SELECT %b, seq, 0 FROM s
), freed AS (
    UPDATE webhook_router.delivery d SET blocked = d.blocked & ~4 FROM (SELECT DISTINCT seq FROM newer) AS newer
    WHERE d.seq = newer.seq
    RETURNING d.target, d.next_attempt_at, d.blocked
), failed AS (
    DELETE FROM webhook_router.once o USING gone
    WHERE gone.once_key IS NOT NULL AND gone.state IN ('dead', 'cancelled')
        AND o.digest = gone.group_lane AND o.delivery = gone.id
)
SELECT {_SKIPPED_COLUMNS}, NULL::text, NULL::bigint FROM s JOIN webhook_router.event e ON e.seq = s.event
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, target, next_attempt_at FROM freed WHERE blocked = 0
"""  # noqa: S608 - constants
