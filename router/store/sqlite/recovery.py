"""Releases the claims of a dead owner when the next owner opens the store."""

import apsw
import structlog

from router.store.contract import MAX_INTERRUPTIONS

log = structlog.get_logger()


def release_running(connection: apsw.Connection) -> None:
    """End the running attempts of a dead process as interrupted, uncounted; their deliveries become pending again.

    Only for the owner of the lock: no other process can be running them. Each is logged like any attempt that ends,
    since the dead process could not do so. Raises apsw.Error.
    """
    with connection:
        released = connection.execute(_RUNNING).fetchall()
        connection.execute(_INTERRUPT_ATTEMPTS, (_ENDED,))
        connection.execute(_RELEASE_RUNNING, (MAX_INTERRUPTIONS, _TOO_OFTEN))
    for event, delivery, rule, action, target, number in released:
        [(state,)] = connection.execute("SELECT state FROM delivery WHERE id = ?", (delivery,))
        log.warning(
            "attempt settled",
            event_id=event,
            delivery_id=delivery,
            rule=rule,
            action=action,
            target=target,
            attempt=number,
            outcome="interrupted",
            state=state,
            error=_ENDED,
        )


_ENDED = "the daemon ended under it"
_TOO_OFTEN = (
    f"interrupted {MAX_INTERRUPTIONS} times in a row: it may be what ends the daemon; replay it once that is mended"
)

_RUNNING = """
SELECT event.id, delivery.id, rule, action, target, number
FROM delivery JOIN event ON event.seq = delivery.event JOIN attempt ON attempt.delivery = delivery.seq
WHERE state = 'running' AND finished_at IS NULL
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
