"""Times as ISO 8601, in UTC."""

from datetime import UTC, datetime
from typing import Any

MILLISECONDS_FROM = 100_000_000_000  #: a larger number counts milliseconds: in seconds it would be the year 5138
_LATEST = 253_402_300_800_000  #: ms; the year 10000
LONGEST = 64  #: characters of a time


def iso(at: int) -> str:
    """A time (ms) such as 2024-05-01T09:30:00.000Z."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_ms(value: Any) -> float | None:
    """The time that a value says, as Unix time in ms; None if it is no time, or lacks its zone.

    A time is a text of ISO 8601 with a zone, also as GitLab writes it (`2024-05-01 10:00:00 UTC`), or a Unix time in
    seconds or milliseconds.
    """
    if isinstance(value, str):
        return _iso_ms(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    ms = float(value) if abs(value) >= MILLISECONDS_FROM else float(value) * 1000
    return ms if abs(ms) < _LATEST else None


def _iso_ms(text: str) -> float | None:
    if len(text) > LONGEST:
        return None
    if text.endswith(" UTC"):
        text = text[:-4] + "+00:00"
    try:
        time = datetime.fromisoformat(text)
        return time.timestamp() * 1000 if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
