"""Releases the claims of a dead owner when the next owner opens the store."""

import apsw
import orjson
import structlog

from router.domain.own_events import PATH, died, own_event
from router.store.contract import MAX_INTERRUPTIONS
from router.store.sqlite.jobs.notices import LEFT

log = structlog.get_logger()


def release_running(connection: apsw.Connection) -> None:
    """End the running attempts of a dead process as interrupted and uncounted. Their deliveries become pending again.

    Only the owner of the lock may do this: then no other process is running them. Each is logged like any attempt that
    ends, since the dead process could not log it. Raises apsw.Error.
    """
    with connection:
        released = connection.execute(_RUNNING).fetchall()
        dying = connection.execute(_DYING, (MAX_INTERRUPTIONS, PATH)).fetchall()
        connection.execute(_INTERRUPT_ATTEMPTS, (_ENDED,))
        connection.execute(_RELEASE_RUNNING, (MAX_INTERRUPTIONS, _TOO_OFTEN))
        ids = orjson.dumps([row[1] for row in released]).decode()
        states = {str(id_): str(state) for id_, state in connection.execute(_STATES, (ids,))}
        for row in dying:
            if states[str(row[0])] == "dead":  # others are skipped
                connection.execute(LEFT, _left(row))
    for event, delivery, rule, action, target, number in released:
        log.warning(
            "attempt settled",
            event_id=event,
            delivery_id=delivery,
            rule=rule,
            action=action,
            target=target,
            attempt=number,
            outcome="interrupted",
            state=states[str(delivery)],
            error=_ENDED,
        )


def _left(row: tuple[object, ...]) -> tuple[str, str]:
    """Subject and payload of the notice that a delivery is dead."""
    delivery, rule, action, type_, target, attempts, created_at, event, source, now = row
    subject, facts = died(
        delivery_id=str(delivery),
        rule=str(rule),
        action=str(action),
        type_=str(type_),
        target=str(target),
        attempts=int(str(attempts)),
        error=_TOO_OFTEN,
        created_at=int(str(created_at)),
        event_id=str(event),
        source=str(source),
    )
    return subject, own_event("delivery.dead", subject, facts, int(str(now))).body.decode()


_ENDED = "the daemon ended under it"
_TOO_OFTEN = (
    f"interrupted {MAX_INTERRUPTIONS} times in a row: it may be what ends the daemon; replay it when that is fixed"
)

_RUNNING = """
SELECT event.id, delivery.id, rule, action, target, number
FROM delivery JOIN event ON event.seq = delivery.event JOIN attempt ON attempt.delivery = delivery.seq
WHERE state = 'running' AND finished_at IS NULL
"""

_STATES = "SELECT id, state FROM delivery WHERE id IN (SELECT value FROM json_each(?))"

_DYING = """
SELECT delivery.id, rule, action, type, target, attempts, created_at, event.id, source, started_at
FROM delivery JOIN event ON event.seq = delivery.event JOIN attempt ON attempt.delivery = delivery.seq
WHERE state = 'running' AND finished_at IS NULL AND interruptions + 1 >= ?1 AND event.path <> ?2
"""

# The time of its end is unknown; its start is the only known time.
_INTERRUPT_ATTEMPTS = """
UPDATE attempt SET
    finished_at = started_at,
    outcome = 'interrupted',
    error = ?
WHERE finished_at IS NULL AND delivery IN (SELECT seq FROM delivery WHERE state = 'running')
"""

_RELEASE_RUNNING = """
UPDATE delivery SET
    token = NULL,
    interruptions = interruptions + 1,
    state = CASE WHEN interruptions + 1 >= ?1 THEN 'dead' ELSE 'pending' END,
    error = CASE WHEN interruptions + 1 >= ?1 THEN ?2 ELSE error END
WHERE state = 'running'
"""
