"""Times as JSON."""

from datetime import UTC, datetime
from typing import Any


def iso(at: int | None) -> str | None:
    """ISO 8601 in UTC, with milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def times(**given: int | None) -> dict[str, Any]:
    """Each time under two keys: as ISO 8601 under its name, as a number under its name with `_ms`."""
    return {key: value for name, at in given.items() for key, value in ((name, iso(at)), (f"{name}_ms", at))}
