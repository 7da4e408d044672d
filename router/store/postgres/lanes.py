"""Order keys: locks of their lanes, and which delivery of a lane is next.

Whoever changes the order of a lane holds the lane's lock, and reads the lane in a later statement: under READ COMMITTED
that statement sees what the last holder committed.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from router.store.postgres.arrays import Numbers, Texts, digest
from router.store.postgres.jobs.job import DueListener
from router.store.postgres.transaction import LOCK_CLASS, Rows, Transaction

BUCKETS = 1024  #: of lane locks; each takes a slot of the server's shared memory, which some thousands exhaust


def lane_of(rule: str, action: str, order_key: str) -> UUID:
    """The lane of an order key."""
    return digest(rule, action, order_key)


def bucket(lane: UUID) -> int:
    """The lock of a lane. As in _LOCK: the first bits."""
    return lane.bytes[0] << 2 | lane.bytes[1] >> 6


def lock(transaction: Transaction, lanes: Iterable[UUID], ids: Sequence[str]) -> None:
    """Lock lanes, and those of deliveries, in one order for all writers. The first statement of a transaction."""
    known = sorted({bucket(lane) for lane in lanes})
    if known or ids:
        transaction.run(_LOCK, (Numbers(known), Texts(ids)))


def unblock(transaction: Transaction, ids: Sequence[str]) -> Rows:
    """Unblock the first of each order that one of these deliveries has left."""
    return transaction.run(_UNBLOCK, (Texts(ids),))


def report(rows: Rows, due: DueListener) -> None:
    """Report what was unblocked, from the answer to `unblock`."""
    for target, at, state, blocked in rows.all():
        if state == "pending" and not blocked:
            due(target, at)


_LOCK = f"""
SELECT pg_advisory_xact_lock({LOCK_CLASS}, lock.bucket::int + 16) FROM (
    SELECT bucket FROM unnest(%b::bigint[]) AS known (bucket)
    UNION
    SELECT ('x' || substr(d.lane::text, 1, 3))::bit(12)::bigint >> 2
    FROM unnest(%b::text[]) AS one (id) JOIN webhook_router.delivery d ON d.id = one.id
    WHERE d.lane IS NOT NULL
    ORDER BY 1
) AS lock
"""  # noqa: S608 - a constant

_UNBLOCK = """
UPDATE webhook_router.delivery d SET blocked = d.blocked & ~1
FROM (
    SELECT DISTINCT first.seq FROM (
        SELECT DISTINCT gone.lane FROM unnest(%b::text[]) AS one (id)
        JOIN webhook_router.delivery gone ON gone.id = one.id
        WHERE gone.lane IS NOT NULL AND gone.state NOT IN ('pending', 'running')
    ) AS left_lane
    CROSS JOIN LATERAL (
        SELECT seq FROM webhook_router.delivery
        WHERE lane = left_lane.lane AND state IN ('pending', 'running') ORDER BY coalesce(place, seq) LIMIT 1
    ) AS first
) AS next
WHERE d.seq = next.seq AND d.blocked & 1 = 1
RETURNING d.target, d.next_attempt_at, d.state, d.blocked
"""
