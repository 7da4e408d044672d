"""Retry-After: how long a target asks to wait. RFC 9110, section 10.2.3."""

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC

_SECONDS = re.compile(
    r"[0-9]{1,300}(?:\.[0-9]{1,300})?"
)  # RFC 9110 allows whole seconds only; some servers send fractions


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, at least 0; None without the header, or with one that can't be read.

    A date is counted from the answer's own Date, so that neither side's clock has to be right; `now`, the Unix time in
    seconds, stands in for a Date that is missing.
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
    """The Unix time in seconds that an HTTP date (RFC 9110, section 5.6.7) means."""
    try:
        at = email.utils.parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
