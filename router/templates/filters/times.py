"""Filters for times: read them, convert them to a zone, write them."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from router.domain.errors import RenderError
from router.domain.iso_time import LONGEST, time_ms
from router.templates.environment import RenderContext
from router.templates.filters.registry import template_filter
from router.templates.text import check_defined

LONGEST_FORMAT = 100  #: characters
WRITTEN = "YmdHMSfzZaAbBjpIyeuGV%"  #: conversions that `format_time` may use
READ = "YmdHMSfzbBjpIy%"  #: conversions with which a text can be read
_CONVERSION = re.compile(r"%(.?)", re.DOTALL)
_STEPS = 100  #: of each filter, some 20 µs
_ISO = "%Y-%m-%dT%H:%M:%S.%f"


def check_time_format(written: str, allowed: str) -> None:
    """Raise RenderError unless all conversions are known."""
    if not isinstance(written, str) or len(written) > LONGEST_FORMAT:
        raise RenderError(f"a format of times is a text of at most {LONGEST_FORMAT} characters")
    for found in _CONVERSION.findall(written):
        if found not in allowed or not found:
            raise RenderError(f"a format of times knows %{' %'.join(allowed)}, and not %{found}")


def zone_of(name: str) -> tzinfo:
    """The zone of that name. Raises RenderError."""
    if not isinstance(name, str) or len(name) > LONGEST:
        raise RenderError("a zone is a name such as Europe/Berlin or UTC")
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # an unknown name, a path, or a folder
        raise RenderError("a zone is a name such as Europe/Berlin or UTC; this one is unknown") from None


def _time(c: RenderContext, value: Any, what: str) -> datetime:
    c.budget.charge(_STEPS)
    c.budget.check_number(value, what)
    check_defined(value)
    ms = time_ms(value)
    if ms is None:
        raise RenderError(f"{what} takes a time: ISO 8601 with a zone, or a Unix time; | to_time(format) reads others")
    if isinstance(value, str):  # a text keeps its own zone
        text = value[:-4] + "+00:00" if value.endswith(" UTC") else value
        return datetime.fromisoformat(text)
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise RenderError(f"{what} takes a time of the years 1 to 9999") from None


def _written(time: datetime) -> str:
    whole = time.isoformat(timespec="milliseconds")
    return whole.replace("+00:00", "Z")


@template_filter("to_time")
def _to_time(c: RenderContext, value: Any, format: str | None = None, zone: str = "UTC") -> str:  # noqa: A002 - as in strptime
    if format is None:
        return _in(_time(c, value, "to_time"), UTC)
    c.budget.charge(5 * _STEPS)
    check_time_format(format, READ)
    if not isinstance(value, str) or len(value) > LONGEST_FORMAT:
        raise RenderError(f"to_time with a format takes a text of at most {LONGEST_FORMAT} characters")
    try:
        time = datetime.strptime(value, format)  # noqa: DTZ007 - the zone follows
    except (ValueError, re.error):
        raise RenderError(f"to_time: the text is not written as {format}") from None
    return _in(time if time.tzinfo is not None else time.replace(tzinfo=zone_of(zone)), UTC)


@template_filter("in_zone")
def _in_zone(c: RenderContext, value: Any, zone: str) -> str:
    return _in(_time(c, value, "in_zone"), zone_of(zone))


@template_filter("format_time")
def _format_time(c: RenderContext, value: Any, format: str, zone: str | None = None) -> str:  # noqa: A002 - as in strftime
    check_time_format(format, WRITTEN)
    time = _time(c, value, "format_time")
    time = time if zone is None else _moved(time, zone_of(zone))
    return time.strftime(format)


def check_unit(unit: Any) -> None:
    """Raise RenderError unless this is a unit of Unix times."""
    if unit not in ("s", "ms"):
        raise RenderError("to_unix takes s or ms")


@template_filter("to_unix")
def _to_unix(c: RenderContext, value: Any, unit: str = "s") -> int:
    check_unit(unit)
    ms = round(_time(c, value, "to_unix").timestamp() * 1000)
    return ms if unit == "ms" else ms // 1000


def _in(time: datetime, zone: tzinfo) -> str:
    return _written(_moved(time, zone))


def _moved(time: datetime, zone: tzinfo) -> datetime:
    try:
        return time.astimezone(zone)
    except (ValueError, OverflowError):
        raise RenderError("a time of the years 1 to 9999 is expected") from None
