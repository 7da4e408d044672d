"""Inserts planned deliveries, for new events or once more for a stored one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from router.domain.deliveries import PlannedDelivery
from router.store.changes import DueListener
from router.store.postgres import groups
from router.store.postgres.arrays import Numbers, Texts, Uuids, columns
from router.store.postgres.lanes import lane_of, report_orders, unblock_after_skips
from router.store.postgres.transaction import Rows, Transaction

EventPlan = tuple[str, Sequence[PlannedDelivery], str, int]
"""Event id, its deliveries, the ruleset's hash, and when they are due (ms)."""


def lanes_of(plan: Iterable[PlannedDelivery]) -> list[UUID]:
    """The lanes of planned deliveries."""
    return [lane_of(d.rule, d.action, d.order_key) for d in plan if d.order_key is not None]


@dataclass(frozen=True, slots=True)
class Inserted:
    """The results of `insert_planned`."""

    rows: Rows
    grouped: frozenset[str]  #: ids of those that joined a group
    joined: groups.Joined | None
    let_go: Rows | None  #: orders that the groups' skips unblocked
    reserved: frozenset[str]  #: ids whose due time is not reported

    def report(self, due: DueListener) -> None:
        """Report what is due, and what was skipped."""
        for id_, target, at, blocked in self.rows.all():
            if not blocked and id_ not in self.grouped and id_ not in self.reserved:
                due(target, at)
        if self.joined is not None and self.let_go is not None:
            groups.report(self.joined, due)
            report_orders(self.let_go, due)


def insert_planned(
    transaction: Transaction,
    plans: Sequence[EventPlan],
    *,
    only_new: bool,
    reserved: Sequence[tuple[str, int]] = (),
) -> Inserted:
    """Insert the deliveries of stored events. Their lanes and groups are locked.

    With `only_new` the events are those that this transaction has stored; otherwise the deliveries stay outside their
    groups. `reserved` has by id how many ms later a delivery is due.
    """
    members = [(d, at) for _, plan, _, at in plans for d in plan if only_new and d.group is not None]
    rows = _insert(transaction, plans, only_new=only_new)
    joined = groups.join(transaction, members) if members else None
    let_go = unblock_after_skips(transaction, [d.id for d, _ in members]) if members else None
    if reserved:
        transaction.run(_RESERVE, columns(reserved, Texts, Numbers))
    grouped, later = (frozenset(d.id for d, _ in members), frozenset(id_ for id_, _ in reserved))
    return Inserted(rows, grouped, joined, let_go, later)


def _insert(transaction: Transaction, plans: Sequence[EventPlan], *, only_new: bool) -> Rows:
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
        SELECT 1 FROM webhook_router.delivery d WHERE d.lane = p.lane AND d.state IN ('pending', 'running') OFFSET 0
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

# Only what this transaction wrote: a delivery that was stored before was reserved then. Because of wait_since it counts
# as a wait when the clock is set back.
_RESERVE = """
UPDATE webhook_router.delivery d SET next_attempt_at = d.next_attempt_at + one.ms, wait_since = d.next_attempt_at
FROM unnest(%b::text[], %b::bigint[]) AS one (id, ms)
WHERE d.id = one.id AND d.state || '' = 'pending' AND d.xmin = pg_current_xact_id()::xid
"""

_INSERT_NEW = _INSERT.format(condition="AND e.xmin = pg_current_xact_id()::xid")
_INSERT_AGAIN = _INSERT.format(condition="")
