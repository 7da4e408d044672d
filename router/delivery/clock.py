"""The wall clock may be set back under us: what is due by old time would wait as long as the clock was moved."""

import structlog

STEP_SECONDS = 1.0  #: smaller steps make nobody wait for long; a clock that is slewed moves by far less between looks
AGAIN_SECONDS = 15.0  #: after a step: what had been received before it may be stored that much later

log = structlog.get_logger()


class Clock:
    """Says when waits have to be looked through. Belongs to the delivery loop."""

    def __init__(self) -> None:
        self._ahead: float | None = None  # seconds that the wall clock was ahead of the monotonic one when last seen
        self._look_at: float | None = 0.0  # at the start: nobody knows what the clock did before

    def look(self, now_ms: int, clock: float) -> bool:
        """Whether to look through the waits at this time (ms) and `clock` (monotonic seconds)."""
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

    def again(self, clock: float) -> None:
        """Look again: this time it could not be done."""
        self._look_at = clock + STEP_SECONDS
