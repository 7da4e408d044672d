"""Sets up the log: a constant message and fields in one line, as JSON for programs or as text for a terminal.

One function makes the line: a chain of structlog's processors would take longer than the rest of the line.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson
import structlog

from router.observe.logging.exceptions import describe_exception
from router.observe.logging.line_writer import Lines
from router.observe.logging.text import TextLine

_DELETE = 0x7F  #: a number, since looking for bytes in bytes raises an error within


class LineLogger(Protocol):
    """Takes finished lines. Any thread may call it; it must not block."""

    def info(self, line: bytes) -> None:
        """Write the line soon."""

    def warning(self, line: bytes) -> None:
        """Write the line at once."""


def configure(level: str, style: str) -> Lines:
    """Log to standard error; style is auto (JSON unless it is a terminal), json or text."""
    text = _text_line()
    stream = getattr(sys.stderr.buffer, "raw", sys.stderr.buffer)
    lines = Lines(stream) if _is_json(style) else Lines(stream, text.lost_lines)
    log_to(lines, level, style)
    return lines


def log_to(lines: LineLogger, level: str, style: str, more: Mapping[str, Any] | None = None) -> None:
    """Log to these lines, as `configure` would; each line has the fields `more` besides its own."""
    least = logging.getLevelNamesMapping()[level.upper()]
    as_json, text = _is_json(style), _text_line()

    def line(_: Any, method: str, fields: MutableMapping[str, Any]) -> bytes:
        if "exc_info" in fields:
            describe_exception(fields, whole=least <= logging.DEBUG)
        if more:
            fields.update(more)
        now = datetime.now(UTC)
        if as_json:
            return json_line(fields, method, now)
        return text.line(fields, method, now).encode(sys.stderr.encoding, "backslashreplace")

    structlog.configure(
        processors=[line],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: lines,  # one logger for all
        cache_logger_on_first_use=True,
    )


def _is_json(style: str) -> bool:
    return style == "json" or (style == "auto" and not sys.stderr.isatty())


def _text_line() -> TextLine:
    terminal = sys.stderr.isatty()
    return TextLine(colours=has_colours(terminal, os.environ), terminal=terminal)


def has_colours(terminal: bool, environ: Mapping[str, str]) -> bool:
    """Whether to use colours: on a terminal that has them, unless NO_COLOR is set (no-color.org)."""
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM", "") not in ("", "dumb")


def json_line(fields: MutableMapping[str, Any], level: str, now: datetime) -> bytes:
    """The fields, then level, timestamp and message. structlog calls the message `event`, which means something else
    here."""
    message = fields.pop("event", None)
    fields["level"] = level
    fields["timestamp"] = now  # formatting the time here would take as long as the rest of the line
    fields["message"] = message
    try:
        line = orjson.dumps(fields, option=orjson.OPT_UTC_Z)
    except TypeError:  # a lone surrogate, which a file name may contain, or a type that JSON lacks
        return json.dumps({**fields, "timestamp": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"}, default=_named).encode()
    if not line.isascii() or _DELETE in line:  # some characters move a terminal's cursor, or reverse its text
        return "".join(c if c.isprintable() else _escaped(c) for c in line.decode()).encode()
    return line


def _named(value: object) -> str:
    return f"<{type(value).__name__}>"  # the value may be private


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
