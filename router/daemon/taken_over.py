"""Logs what this node has taken over from nodes whose lease has ended."""

import structlog

from router.store.fleet import Released, TakenOver

log = structlog.get_logger()


def log_taken_over(taken: TakenOver) -> None:
    """A line for each delivery, and one for each node without any work left."""
    for one in taken.released:
        _log_released(one)
    for lost in taken.lost:
        log.warning("node lost; others have what it had running", node=lost.name, host=lost.host)


def _log_released(one: Released) -> None:
    log.warning(
        "attempt settled",
        event_id=one.event_id,
        delivery_id=one.delivery_id,
        rule=one.rule,
        action=one.action,
        target=one.target,
        attempt=one.attempt,
        outcome="interrupted",
        state=one.state.value,
        error="the node that ran it was lost",
    )
