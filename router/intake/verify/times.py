"""Signed times: the formats in which senders write them, and how far they may be from now."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from router.plugins.scheme import Unverified, VerifyFailure

TimestampFormat = Literal["unix", "unix_ms", "iso8601"]
TOLERANCE_SECONDS = 300.0  #: how far a signed time may differ from now, as Stripe, Slack and Svix recommend

_NUMBER = re.compile(r"[0-9]{1,15}")
_ISO_8601 = re.compile(
    r"(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?P<part>\.[0-9]{1,9})?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})"
)
_MILLISECONDS_FROM = 10**11  #: a `unix` time of this size counts milliseconds: in seconds it would be the year 5138
_NAMES: Mapping[TimestampFormat, str] = {
    "unix": "Unix time",
    "unix_ms": "Unix time in milliseconds",
    "iso8601": "ISO 8601 time with a zone",
}


def check_time(
    text: str, name: str, tolerance: float, now: int, timestamp_format: TimestampFormat = "unix"
) -> Unverified | None:
    """Refuse a text that is not a time of this format, or differs from now (ms) by more than the tolerance (s)."""
    sent = milliseconds(text, timestamp_format)
    if sent is None:
        return Unverified(VerifyFailure.MALFORMED, f"{name} is not a valid {_NAMES[timestamp_format]}")
    if abs(now - sent) > tolerance * 1000:
        return Unverified(
            VerifyFailure.TIME, "the timestamp is too far from now; is a clock wrong, or is this a replay?"
        )
    return None


def milliseconds(text: str, timestamp_format: TimestampFormat) -> int | None:
    """The Unix time in ms of a text in this format; None for any other text."""
    if timestamp_format == "iso8601":
        return _from_iso_8601(text)
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if timestamp_format == "unix_ms" or number >= _MILLISECONDS_FROM else number * 1000


def written_time(now: int, timestamp_format: TimestampFormat) -> str:
    """The time `now` (ms) in this format."""
    if timestamp_format == "iso8601":
        return datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(now if timestamp_format == "unix_ms" else now // 1000)


def _from_iso_8601(text: str) -> int | None:
    found = _ISO_8601.fullmatch(text)
    if found is None:
        return None
    try:  # Python reads at most six digits of a second
        moment = datetime.fromisoformat(found["time"] + (found["part"] or "")[:7] + found["zone"])
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
