"""What a dead owner held is given back when the next one opens the store."""

import apsw

from router.store.base import MAX_INTERRUPTIONS


def release_running(connection: apsw.Connection) -> None:
    """End the attempts of a process that is gone as interrupted, uncounted; their deliveries are pending again.

    Only for the owner of the lock: nobody else can be running them. Raises apsw.Error.
    """
    with connection:
        connection.execute(_INTERRUPT_ATTEMPTS)
        connection.execute(_RELEASE_RUNNING, (MAX_INTERRUPTIONS, _TOO_OFTEN))


_TOO_OFTEN = (
    f"interrupted {MAX_INTERRUPTIONS} times in a row: it may be what ends the daemon; replay it once that is mended"
)

# When it really ended nobody knows; its start is the one time that is true.
_INTERRUPT_ATTEMPTS = """
UPDATE attempt SET
    finished_at = started_at,
    outcome = 'interrupted',
    error = 'the daemon ended under it'
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
