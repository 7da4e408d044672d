"""Durations, sizes and rates as the rules file has them.

Each type is ready for a pydantic field: it turns text into a number, or raises an error with the cure.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"{_NUMBER}\s*(ms|s|m|h|d)")
_SIZE = re.compile(rf"{_NUMBER}\s*(B|KiB|MiB|GiB)")
_RATE = re.compile(rf"{_NUMBER}\s*/\s*(s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
FOREVER = "forever"
LONGEST_SECONDS = 366 * 86400.0  #: a year; a longer duration is a mistake, and would overflow timers


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def seconds(value: Any) -> float:
    """Read a duration such as `500ms`, `30s`, `5m`, `1h` or `2d`; more than zero, at most a year."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    result = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < result <= LONGEST_SECONDS:
        raise PydanticCustomError(
            "duration",
            "expected a duration above zero and up to 366d, a number and one of ms s m h d, such as 30s; found {shown}",
            {"shown": _shown(value)},
        )
    return result


def keeping(value: Any) -> float:
    """Read how long something is kept: a duration, or `forever`, which is infinite."""
    if value == FOREVER:
        return math.inf
    try:
        return seconds(value)
    except PydanticCustomError:
        raise PydanticCustomError(
            "keeping",
            "expected forever, or a duration above zero and up to 366d, a number and one of ms s m h d, such as 7d; "
            "found {shown}",
            {"shown": _shown(value)},
        ) from None


def as_keeping(seconds: float) -> str:
    """How long something is kept, as the rules file has it."""
    return FOREVER if seconds == math.inf else as_duration(seconds)


def shown(seconds: float) -> str:
    """A duration as a person writes it: `500 ms`, `2.5 s`, `1 h 8 m 14 s`, `7 d`; to the millisecond."""
    ms = round(seconds * 1000)
    if 0 < ms < 1000:
        return f"{ms} ms"
    days, rest = divmod(ms, 86_400_000) if ms >= 2 * 86_400_000 else (0, ms)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if count]
    if rest or not parts:
        parts.append(f"{rest / 1000:g} s")
    return " ".join(parts)


def as_duration(seconds: float) -> str:
    """A duration as the rules file has it: `300ms`, `90s`, `5m`; to the millisecond."""
    ms = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(ms, round(_SECONDS[unit] * 1000))
        if not rest:
            return f"{count}{unit}"
    return f"{ms}ms"


def as_size(count: int) -> str:
    """Bytes as the rules file has them: `25MiB`, `1000B`; `size` parses it back to the same number."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if count % _BYTES[unit] == 0)
    return f"{count // _BYTES[unit]}{unit}"


def size(value: Any) -> int:
    """Read a size such as `512KiB` or `25MiB`, in bytes; a bare number is bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    result = float(found[1]) * _BYTES[found[2]] if found else 0.0
    if not 1 <= result <= 2**40:
        raise PydanticCustomError(
            "size",
            "expected a size above zero, a number and one of B KiB MiB GiB, such as 25MiB; found {shown}",
            {"shown": _shown(value)},
        )
    return math.floor(result)


def per_second(value: Any) -> float:
    """Read a rate such as `50/s`, `10/m` or `100/h`, in events a second."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    result = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if not 0 < result <= 1e6:
        raise PydanticCustomError(
            "rate",
            "expected a rate above zero, a number and one of /s /m /h, such as 50/s; found {shown}",
            {"shown": _shown(value)},
        )
    return result


def _written(pattern: re.Pattern[str], *examples: str) -> WithJsonSchema:
    """The JSON Schema of such a text."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern}$", "examples": list(examples)})


Duration = Annotated[float, BeforeValidator(seconds), _written(_DURATION, "500ms", "30s", "24h")]
Keeping = Annotated[
    float,
    BeforeValidator(keeping),
    WithJsonSchema({"anyOf": [{"const": FOREVER}, _written(_DURATION, "7d", "12h").json_schema or {}]}),
]
Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _written(_SIZE, "64KiB", "25MiB").json_schema or {}]}),
]
Rate = Annotated[float, BeforeValidator(per_second), _written(_RATE, "50/s", "10/m")]
