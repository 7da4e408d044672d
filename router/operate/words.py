"""Numbers, durations and sizes in readable units, for the commands and the page."""

_VOWELS = frozenset("aeiou")
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000


def span(ms: int) -> str:
    """A duration in the unit that fits: `850ms`, `42s`, `5m`, `3h`, `2d`."""
    for unit, size in (("d", 2 * _DAY), ("h", 2 * _HOUR), ("m", 2 * _MINUTE), ("s", _SECOND)):
        if ms >= size:
            return f"{ms // {'d': _DAY, 'h': _HOUR, 'm': _MINUTE, 's': _SECOND}[unit]}{unit}"
    return f"{max(0, ms)}ms"


def counted(number: int, noun: str) -> str:
    """`1 delivery`, `1,200 deliveries`, `2 rules`, `3 keys`."""
    if number != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in _VOWELS else f"{noun}s"
    return f"{number:,} {noun}"


def size(count: int) -> str:
    """A number of bytes: `300 B`, `1.5 KiB`, `2.0 GiB`."""
    if count < 1024:
        return f"{count} B"
    for unit, factor in (("KiB", 1024), ("MiB", 1024**2)):
        if count < 1024 * factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1024**3:.1f} GiB"
