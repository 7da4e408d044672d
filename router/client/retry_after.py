"""Retry-After: how long a server asks to wait. RFC 9110, section 10.2.3."""

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC

_SECONDS = re.compile(
    r"[0-9]{1,300}(?:\.[0-9]{1,300})?"
)  # RFC 9110 allows whole seconds only; some servers send fractions


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, at least 0; None when the header is missing or invalid.

    A date is compared with the answer's own Date, so neither clock has to be right. Without a Date, `now` (Unix time in
    seconds) is used.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _date(value)
    if until is None:
        return None
    since = _date(headers.get("Date", ""))
    return max(0.0, until - (now if since is None else since))


def _date(value: str) -> float | None:
    """An HTTP date (RFC 9110, section 5.6.7) as Unix time in seconds."""
    try:
        at = email.utils.parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
