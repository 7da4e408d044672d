"""Reports skipped deliveries: logs and counts each one, and answers a sender who waits for it."""

from collections.abc import Callable, Sequence

import structlog

from router.domain.groups import Skipped
from router.observe.metrics import Metrics

log = structlog.get_logger()


class SkipReports:
    """Reports skipped deliveries. The store's thread calls it."""

    def __init__(self, metrics: Metrics, answers_nobody: Callable[[str], None]) -> None:
        """`answers_nobody` gets the id of each skipped delivery, which no attempt will answer."""
        self._metrics = metrics
        self._answers_nobody = answers_nobody

    def report(self, skips: Sequence[Skipped]) -> None:
        """Report these deliveries, one by one."""
        for one in skips:
            self._answers_nobody(one.delivery_id)
            self._metrics.skipped(one.rule, one.action, one.target)
            log.info(
                "delivery skipped",
                event_id=one.event_id,
                delivery_id=one.delivery_id,
                rule=one.rule,
                action=one.action,
                target=one.target,
                reason=one.reason.value,
                skipped_for=one.skipped_for,
            )
