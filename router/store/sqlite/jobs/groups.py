"""Groups: which deliveries with the same latest_by or once_by value are made, and which are skipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from router.domain.deliveries import PlannedDelivery
from router.domain.groups import Latest, Once, Skipped, SkipReason
from router.store.changes import DueListener
from router.store.sqlite.jobs.order import report_first

_PIECE = 2  #: expired first deliveries that are removed for each new one, so that the table shrinks to those in force


@dataclass(frozen=True, slots=True)
class Member:
    """A planned delivery with a group, and the receipt (ms) of its event."""

    planned: PlannedDelivery
    received_at: int


def join_groups(connection: apsw.Connection, members: Sequence[Member], due: DueListener) -> None:
    """Put deliveries into their groups, one after the other. They were inserted before."""
    for member in members:
        if isinstance(member.planned.group, Latest):
            _supersede(connection, member, member.planned.group, due)
        elif isinstance(member.planned.group, Once):
            _count_as_first(connection, member, member.planned.group, due)


def _supersede(connection: apsw.Connection, member: Member, group: Latest, due: DueListener) -> None:
    """Handle the newest delivery of its latest_by value: skip the pending one before it, and wait for a running one."""
    planned, at = member.planned, member.received_at
    name = (planned.rule, planned.action, group.key)
    found = connection.execute(_ACTIVE, name).fetchall()
    since, running = at, False
    for _, state, waited_since in found:
        running = running or state == "running"
        if state == "pending" and waited_since is not None:
            # a time in the future, after the clock was set back, doesn't count
            since = min(since, int(str(waited_since)))
    begin = max(at, min(at + group.wait_ms, since + group.max_wait_ms))
    # If the longest wait was over long ago, use no older time: the clock may be set back by less than that.
    waits = max(since, at - group.max_wait_ms) if group.wait_ms else None
    connection.execute(_JOIN_LATEST, (group.key, waits, begin, 4 if running else 0, planned.id))
    for seq, state, _ in found:
        if state == "pending":
            _skip(connection, seq, SkipReason.NEWER, planned.id, due)


def _count_as_first(connection: apsw.Connection, member: Member, group: Once, due: DueListener) -> None:
    """Handle a delivery with once_by: it becomes the first of its value, or it is skipped for an earlier first."""
    planned, at = member.planned, member.received_at
    name = (planned.rule, planned.action, group.key)
    # A time in the future, after the clock was set back, counts like one in the past.
    firsts = connection.execute(_FIRST, (*name, at, group.within_ms)).fetchall()
    if firsts:
        [(seq,)] = connection.execute(_JOIN_ONCE, (None, planned.id)).fetchall()
        _skip(connection, seq, SkipReason.EARLIER, str(firsts[0][0]), due)
        return
    connection.execute(_JOIN_ONCE, (group.key, planned.id)).fetchall()
    connection.execute(_FORGET_FIRSTS, (at, _PIECE))
    connection.execute(_PUT_FIRST, (*name, planned.id, at, at + group.within_ms))


def _skip(connection: apsw.Connection, seq: Any, reason: SkipReason, skipped_for: str, due: DueListener) -> None:
    connection.execute(_SKIP, (reason.value, skipped_for, seq))
    report_skipped(connection, seq, due)


def report_skipped(connection: apsw.Connection, seq: Any, due: DueListener) -> None:
    """Report a skipped delivery, and the delivery that its order key unblocks."""
    rows = connection.execute(_SKIPPED, (seq,)).fetchall()
    for id_, event, rule, action, target, order_key, reason, skipped_for in rows:
        due.skipped(
            Skipped(
                str(id_), str(event), str(rule), str(action), str(target), SkipReason(str(reason)), str(skipped_for)
            )
        )
        if order_key is not None:
            report_first(connection, (rule, action, order_key), due)


def after_attempt(connection: apsw.Connection, seq: Any, name: tuple[Any, Any, Any], due: DueListener) -> bool:
    """After an attempt at a delivery with a latest_by value (rule, action, key): report what it unblocked.

    Returns whether the delivery was skipped for a newer one, by the trigger delivery_makes_way (schema_9.sql).
    """
    report_skipped(connection, seq, due)
    for target, at in connection.execute(_NEXT, name):
        due(str(target), int(str(at)))
    return bool(connection.execute(_IS_SKIPPED, (seq,)).fetchall())


_ACTIVE = """
SELECT seq, state, CASE WHEN attempts = 0 AND interruptions = 0 THEN wait_since END FROM delivery
WHERE rule = ? AND action = ? AND latest_key = ? AND latest_key IS NOT NULL AND state IN ('pending', 'running')
"""

_JOIN_LATEST = """
UPDATE delivery SET latest_key = ?, wait_since = ?, next_attempt_at = ?, blocked = blocked | ? WHERE id = ?
"""

_NEXT = """
SELECT target, next_attempt_at FROM delivery
WHERE rule = ? AND action = ? AND latest_key = ? AND latest_key IS NOT NULL AND state IN ('pending', 'running')
    AND state = 'pending' AND blocked = 0
"""

_FIRST = """
SELECT delivery FROM once
WHERE rule = ?1 AND action = ?2 AND key = ?3 AND received_at > ?4 - ?5 AND received_at < ?4 + ?5
"""

_JOIN_ONCE = "UPDATE delivery SET once_key = ? WHERE id = ? RETURNING seq"

_PUT_FIRST = "INSERT OR REPLACE INTO once VALUES (?, ?, ?, ?, ?, ?)"

_FORGET_FIRSTS = """
DELETE FROM once WHERE (rule, action, key) IN (
    SELECT rule, action, key FROM once WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)
"""

_SKIP = "UPDATE delivery SET state = 'skipped', blocked = 0, skip_reason = ?, skipped_for = ? WHERE seq = ?"

_SKIPPED = """
SELECT d.id, e.id, d.rule, d.action, d.target, d.order_key, d.skip_reason, d.skipped_for
FROM delivery d JOIN event e ON e.seq = d.event WHERE d.seq = ? AND d.state = 'skipped'
"""

_IS_SKIPPED = "SELECT 1 FROM delivery WHERE seq = ? AND state = 'skipped'"
