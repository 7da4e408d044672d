"""Logs a lasting failure at once, then less and less often, and once when it is over."""

FIRST_PAUSE_SECONDS = 10.0  #: between the first two lines; doubled with each
LONGEST_PAUSE_SECONDS = 600.0  #: so that the last page of a log always shows it


class Outage:
    """Belongs to one thread."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._next_at = 0.0

    def failed(self, now: float) -> int:
        """A failure at `now` (monotonic). Returns the number of failures so far if it should be logged, else 0."""
        self._failures += 1
        if self._failures == 1:
            self._pause = FIRST_PAUSE_SECONDS
        elif now < self._next_at:
            return 0
        else:
            self._pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause)
        self._next_at = now + self._pause
        return self._failures

    def over(self) -> int:
        """A success. Returns the number of failures before it; 0 when there was none."""
        failures, self._failures = self._failures, 0
        return failures
