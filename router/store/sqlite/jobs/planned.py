"""Inserts planned deliveries, for a new event or once more for a stored one."""

from collections.abc import Sequence
from typing import Any

import apsw

from router.domain.deliveries import PlannedDelivery
from router.store.changes import DueListener
from router.store.sqlite.jobs.groups import Member, join_groups
from router.store.sqlite.jobs.many_rows import write_rows

OrderKey = tuple[str, str, str]
"""Rule, action and order key. Deliveries that share them are made one after the other."""


def planned_rows(
    event: int,
    plan: Sequence[PlannedDelivery],
    ruleset: str,
    at: int,
    ordered: set[OrderKey],
    grouped: list[Member] | None = None,
) -> list[tuple[Any, ...]]:
    """The rows of one event's deliveries.

    `ordered` has the order keys of earlier rows in the same insert, and gets those of this plan. `grouped` gets the
    deliveries that have a group.
    """
    rows: list[tuple[Any, ...]] = []
    for d in plan:
        blocked = 0
        if d.order_key is not None:
            key = (d.rule, d.action, d.order_key)
            blocked = int(key in ordered)
            ordered.add(key)
        if d.group is not None and grouped is not None:
            grouped.append(Member(d, at))
        rows.append(
            (d.id, event, d.rule, d.action, d.type, d.target, d.order_key, ruleset, at, blocked, d.item, d.item_index)
        )
    return rows


def insert_planned(
    connection: apsw.Connection,
    rows: Sequence[tuple[Any, ...]],
    last: object,
    due: DueListener,
    grouped: Sequence[Member] = (),
    reserved: Sequence[tuple[int, str]] = (),
) -> None:
    """Insert rows of `planned_rows`, put them into their groups, and report targets with due deliveries.

    `last` is the newest delivery's seq before the insert. `reserved` has the ids of deliveries that are due later, with
    their delay in ms.
    """
    if not rows:
        return
    write_rows(connection, _INSERT_DELIVERY, rows)
    join_groups(connection, grouped, due)
    for one in reserved:
        connection.execute(_RESERVE, one)
    for target, at in connection.execute(_UNBLOCKED_SINCE, (last,)):
        due(str(target), int(str(at)))


_INSERT_DELIVERY = """
INSERT INTO delivery
    (id, event, rule, action, type, target, order_key, ruleset, next_attempt_at, created_at, item, item_index, blocked)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column9,
    column11, column12,
    column10 OR column7 IS NOT NULL AND EXISTS (
        SELECT 1 FROM delivery
        WHERE rule = column3 AND action = column4 AND order_key = column7 AND state IN ('pending', 'running')
    )
FROM (VALUES {})
WHERE column1 IS NOT NULL
"""

# Because of wait_since it counts as a wait when the clock is set back.
_RESERVE = """
UPDATE delivery SET next_attempt_at = next_attempt_at + ?, wait_since = next_attempt_at
WHERE id = ? AND state = 'pending'
"""

_UNBLOCKED_SINCE = """
SELECT target, min(next_attempt_at) FROM delivery
WHERE seq > ? AND blocked = 0 AND +state = 'pending' -- the plus: by seq, never through all that waits
GROUP BY target
"""
