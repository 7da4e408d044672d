"""Inserts planned deliveries, for new events or once more for a stored one."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from router.domain.deliveries import PlannedDelivery
from router.store.postgres.arrays import Numbers, Texts, Uuids, columns
from router.store.postgres.lanes import lane_of
from router.store.postgres.transaction import Rows, Transaction

EventPlan = tuple[str, Sequence[PlannedDelivery], str, int]
"""Event id, its deliveries, the ruleset's hash, and when they are due (ms)."""


def lanes_of(plan: Iterable[PlannedDelivery]) -> list[UUID]:
    """The lanes of planned deliveries."""
    return [lane_of(d.rule, d.action, d.order_key) for d in plan if d.order_key is not None]


def insert_planned(transaction: Transaction, plans: Sequence[EventPlan], *, only_new: bool) -> Rows:
    """Insert the deliveries of stored events; gives id, target, time and blocked of each. The lanes are locked.
    With `only_new`, of events that this transaction has stored."""
    rows = []
    for event, plan, ruleset, at in plans:
        for d in plan:
            lane = lane_of(d.rule, d.action, d.order_key) if d.order_key is not None else None
            facts = (d.id, event, d.rule, d.action, d.type, d.target, d.order_key, lane, ruleset, at)
            rows.append((*facts, d.item, d.item_index))
    values = columns(rows, *_KINDS)
    return transaction.run(_INSERT_NEW if only_new else _INSERT_AGAIN, values)


_KINDS = (Texts, Texts, Texts, Texts, Texts, Texts, Texts, Uuids, Texts, Numbers, Texts, Numbers)

_INSERT = """
INSERT INTO webhook_router.delivery
    (id, event, rule, action, type, target, order_key, lane, ruleset, next_attempt_at, created_at, item, item_index,
    blocked)
SELECT p.id, e.seq, p.rule, p.action, p.type, p.target, p.order_key, p.lane, p.ruleset, p.at, p.at, p.item,
    p.item_index,
    CASE WHEN p.lane IS NULL THEN 0
    WHEN row_number() OVER (PARTITION BY p.lane ORDER BY p.number) > 1 THEN 1
    ELSE (EXISTS (
        SELECT 1 FROM webhook_router.delivery d WHERE d.lane = p.lane AND d.state IN ('pending', 'running')
    ))::int END
FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[],
    %b::bigint[], %b::text[], %b::bigint[]
) WITH ORDINALITY AS p (
    id, event, rule, action, type, target, order_key, lane, ruleset, at, item, item_index, number
)
JOIN webhook_router.event e ON e.id = p.event {condition}
ORDER BY p.number
ON CONFLICT (id) DO NOTHING
RETURNING id, target, next_attempt_at, blocked
"""

_INSERT_NEW = _INSERT.format(condition="AND e.xmin = pg_current_xact_id()::xid")
_INSERT_AGAIN = _INSERT.format(condition="")
