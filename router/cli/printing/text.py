"""Texts for a terminal: control characters escaped, times in the local zone. The page uses some of the words too.

Texts from senders may hold anything. `safe` escapes control characters; no markup is ever interpreted.
"""

from datetime import UTC, datetime

from router.operate.words import counted, size, span

__all__ = ["counted", "local_time", "safe", "safe_lines", "size", "span"]


def safe(text: str) -> str:
    """The text on one line; every control character, line ends included, becomes its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def safe_lines(text: str) -> list[str]:
    """The lines of a text, each safe; tabs become spaces."""
    return [safe(line) for line in text.expandtabs(4).replace("\r\n", "\n").split("\n")]


def local_time(at: int) -> str:
    """A time (ms) in the local zone, with the zone's name."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
