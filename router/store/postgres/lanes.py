"""Order keys: locks of their lanes, and the next delivery of a lane.

Whoever changes the order of a lane holds the lane's lock, and reads the lane in a later statement: under READ COMMITTED
that statement sees what the last holder committed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from router.store.changes import DueListener
from router.store.postgres.arrays import Numbers, Texts, Uuids, digest
from router.store.postgres.groups import make_way, report_way
from router.store.postgres.transaction import LOCK_CLASS, Rows, Transaction

#: number of lane locks; each takes a slot of the server's shared memory, and some thousands would exhaust it
BUCKETS = 1024


def lane_of(rule: str, action: str, order_key: str) -> UUID:
    """The lane of an order key."""
    return digest(rule, action, order_key)


def bucket(lane: UUID) -> int:
    """The number of a lane's lock; see _LOCK: the first bits."""
    return lane.bytes[0] << 2 | lane.bytes[1] >> 6


def lock(transaction: Transaction, lanes: Iterable[UUID], ids: Sequence[str], groups: Iterable[UUID] = ()) -> None:
    """Lock groups and lanes, and those of deliveries. All writers use the same order: groups before lanes.

    These are the first statements of a transaction.
    """
    known = sorted({bucket(lane) for lane in lanes})
    joined = sorted(set(groups), key=lambda group: group.bytes)
    if joined:
        # The members of a group are known once the group is locked. Its pending delivery leaves its order.
        transaction.run(_LOCK_GROUPS, (Numbers(sorted({bucket(group) for group in joined})), Texts(ids)))
    if known or ids or joined:
        transaction.run(_LOCK, (Numbers(known), Texts(ids), Uuids(joined)))


@dataclass(frozen=True, slots=True)
class Unblocked:
    """The results of `unblock`."""

    groups: Rows
    orders: Rows


def unblock(transaction: Transaction, ids: Sequence[str]) -> Unblocked:
    """Unblock the deliveries that waited for one of these: the next of its group, and the first of its order."""
    groups = make_way(transaction, ids)
    return Unblocked(groups, transaction.run(_UNBLOCK, (Texts(ids), Texts(()))))


def unblock_after_skips(transaction: Transaction, ids: Sequence[str]) -> Rows:
    """Unblock the first delivery of each order that these deliveries, or those skipped for them, have left."""
    return transaction.run(_UNBLOCK, (Texts(ids), Texts(ids)))


def report(unblocked: Unblocked, due: DueListener) -> set[str]:
    """Report the unblocked deliveries. Returns the ids of those that are skipped now."""
    report_orders(unblocked.orders, due)
    return report_way(unblocked.groups, due)


def report_orders(rows: Rows, due: DueListener) -> None:
    """Report the first deliveries of orders that became due."""
    for target, at, state, blocked in rows.all():
        if state == "pending" and not blocked:
            due(target, at)


_GROUPS = 16  #: number of the first group's lock
_LANES = _GROUPS + BUCKETS  #: number of the first lane's lock


def _bucket_of(column: str) -> str:
    return f"('x' || substr({column}::text, 1, 3))::bit(12)::bigint >> 2"


_LOCK_GROUPS = f"""
SELECT pg_advisory_xact_lock({LOCK_CLASS}, lock.bucket::int + {_GROUPS}) FROM (
    SELECT bucket FROM unnest(%b::bigint[]) AS known (bucket)
    UNION
    SELECT {_bucket_of("d.group_lane")}
    FROM unnest(%b::text[]) AS one (id) JOIN webhook_router.delivery d ON d.id = one.id
    WHERE d.group_lane IS NOT NULL
    ORDER BY 1
) AS lock
"""  # noqa: S608 - constants

_LOCK = f"""
WITH given (known, ids, joined) AS (VALUES (%b::bigint[], %b::text[], %b::uuid[])), changed AS MATERIALIZED (
    SELECT d.lane, d.group_lane FROM given, unnest(given.ids) AS one (id)
    JOIN webhook_router.delivery d ON d.id = one.id
    WHERE d.lane IS NOT NULL OR d.group_lane IS NOT NULL
)
SELECT pg_advisory_xact_lock({LOCK_CLASS}, lock.number::int) FROM (
    SELECT bucket + {_LANES} AS number FROM given, unnest(given.known) AS known (bucket)
    UNION
    SELECT ({_bucket_of("lane")}) + {_LANES} FROM changed WHERE lane IS NOT NULL
    UNION
    SELECT ({_bucket_of("group_lane")}) + {_GROUPS} FROM changed WHERE group_lane IS NOT NULL
    UNION
    SELECT ({_bucket_of("waiting.lane")}) + {_LANES} FROM given, unnest(given.joined) AS one (name) CROSS JOIN LATERAL (
        SELECT d.lane FROM webhook_router.delivery d
        WHERE d.group_lane = one.name AND d.latest_key IS NOT NULL AND d.state IN ('pending', 'running') OFFSET 0
    ) AS waiting
    WHERE waiting.lane IS NOT NULL
    ORDER BY 1
) AS lock
"""  # noqa: S608 - constants

_UNBLOCK = """
UPDATE webhook_router.delivery d SET blocked = d.blocked & ~1
FROM (
    SELECT DISTINCT first.seq FROM (
        SELECT gone.lane FROM unnest(%b::text[]) AS one (id)
        JOIN webhook_router.delivery gone ON gone.id = one.id
        WHERE gone.lane IS NOT NULL AND gone.state NOT IN ('pending', 'running')
        UNION
        SELECT gone.lane FROM unnest(%b::text[]) AS one (id)
        JOIN webhook_router.delivery newest ON newest.id = one.id
        JOIN webhook_router.delivery gone ON gone.skipped_for = newest.id
        WHERE gone.lane IS NOT NULL AND gone.state = 'skipped'
    ) AS left_lane
    CROSS JOIN LATERAL (
        SELECT seq FROM webhook_router.delivery
        WHERE lane = left_lane.lane AND state IN ('pending', 'running') ORDER BY coalesce(place, seq) LIMIT 1
    ) AS first
) AS next
WHERE d.seq = next.seq AND d.blocked & 1 = 1
RETURNING d.target, d.next_attempt_at, d.state, d.blocked
"""
