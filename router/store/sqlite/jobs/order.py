"""Order keys: finds the next delivery of an order."""

from typing import Any

import apsw

from router.store.changes import DueListener

_FIRST = """
SELECT target, next_attempt_at FROM delivery
WHERE rule = ? AND action = ? AND order_key = ? AND blocked = 0 AND state = 'pending'
    AND state IN ('pending', 'running') -- repeated in the form that the index has
ORDER BY coalesce(place, seq) LIMIT 1
"""


def report_first(connection: apsw.Connection, order: tuple[Any, Any, Any], due: DueListener) -> None:
    """Report the first delivery of an order (rule, action, order key) as due if it is pending.

    The trigger delivery_unblocks_the_next (schema_2.sql) unblocks it, in the transaction that settles or cancels the
    delivery before it.
    """
    for target, at in connection.execute(_FIRST, order):
        due(str(target), int(str(at)))
