"""Parses times as an operator writes them."""

from datetime import datetime

from router.domain.units import seconds

LAST_MS = 253_402_300_799_999  #: the end of the year 9999, the last that datetime can hold


def parse_time(text: str, now: int) -> int:
    """The time in ms: `2h` is two hours before now (ms); ISO 8601 is local if it names no zone. Raises ValueError."""
    try:
        return now - round(seconds(text) * 1000)
    except ValueError:
        pass
    try:
        at = round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise ValueError("it is not a time; write 30m, 2h or 3d (ago), or 2026-01-31T12:00+01:00") from None
    return min(max(0, at), LAST_MS)
