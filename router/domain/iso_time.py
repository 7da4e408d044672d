"""Times as ISO 8601, in UTC."""

from datetime import UTC, datetime


def iso(at: int) -> str:
    """A time (ms) such as 2024-05-01T09:30:00.000Z."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
