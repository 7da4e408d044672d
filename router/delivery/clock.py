"""Notices that the wall clock was set back: deliveries that are due by the old time would wait for too long."""

import structlog

STEP_SECONDS = 1.0  #: smaller steps hardly delay anything; a slewed clock moves by far less between two checks
AGAIN_SECONDS = 15.0  #: after a step: an event received before the step may be stored this much later

log = structlog.get_logger()


class ClockWatch:
    """Says when the waits of deliveries may be too long. Belongs to the delivery loop."""

    def __init__(self) -> None:
        # seconds that the wall clock was ahead of the monotonic clock at the last check
        self._ahead: float | None = None
        self._look_at: float | None = 0.0  # at the start: the clock may have been set while nothing ran

    def waits_are_suspect(self, now_ms: int, clock: float) -> bool:
        """Whether waits may be too long by now, at this time (ms) and `clock` (monotonic seconds)."""
        ahead = now_ms / 1000 - clock
        before, self._ahead = self._ahead, ahead
        if before is not None and ahead < before - STEP_SECONDS:
            log.warning("clock was set back; what waited by the old time is due", seconds=round(before - ahead, 1))
            self._look_at = clock + AGAIN_SECONDS
            return True
        if self._look_at is not None and clock >= self._look_at:
            self._look_at = None
            return True
        return False

    def ask_again(self, clock: float) -> None:
        """Report it again soon, since the waits could not be shortened this time."""
        self._look_at = clock + STEP_SECONDS
