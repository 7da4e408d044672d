"""Colors of tables and fields on a terminal: what failed is red, what waits yellow, what is done green.

No color is used in a pipe or file, with NO_COLOR (no-color.org), or on a terminal without colors.
"""

import os
import sys

import click

_STATES = {
    "succeeded": "green",
    "pending": "yellow",
    "running": "cyan",
    "held": "yellow",
    "retry": "yellow",
    "interrupted": "yellow",
    "failed": "red",
    "dead": "red",
    "open": "red",
    "half-open": "yellow",
}  #: the color of a cell, by its first word
_COUNTS = {
    "dead": "red",
    "fail": "red",
    "go": "red",
    "held": "yellow",
    "change": "yellow",
    "come": "green",
    "mend": "green",
}  #: the color of a number other than 0, by its heading
_NOTED = {
    "paused": "yellow",
    "waits for": "yellow",
    "error": "red",
    "file": "red",
}  #: any text, by its heading
_WORST_FIRST = ("dead", "pending", "running", "succeeded")


def colors_on() -> bool:
    """Whether standard output takes colors, and the user wants them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def color_of(heading: str, cell: str) -> str | None:
    """The color of a cell below this heading, or of a field with this name. None for the usual color."""
    cell = cell.strip()
    if heading in ("state", "breaker", "outcome"):
        return _STATES.get(cell.replace(",", " ").partition(" ")[0])
    if heading == "deliveries":
        return next((_STATES[word] for word in _WORST_FIRST if word in cell), None)
    if heading in _COUNTS:
        return _COUNTS[heading] if cell[:1].isdigit() and cell[:1] != "0" else None
    return _NOTED.get(heading) if cell not in ("", "-") else None


def colored(heading: str, cell: str) -> str:
    """The text in its color, if colors are on."""
    color = color_of(heading, cell) if colors_on() else None
    return cell if color is None else click.style(cell, fg=color)
