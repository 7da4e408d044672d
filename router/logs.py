"""Log lines: a constant message plus fields, JSON for programs, aligned text for a terminal."""

import logging
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import structlog

from router.log_lines import Lines

LEVELS = ("debug", "info", "warning", "error")
_LOST_AS_TEXT = b"[warning  ] log lines lost: nobody read them lines=%d"


def configure(level: str, style: str) -> Lines:
    """Log to standard error; style is auto (JSON unless it is a terminal), json or text."""
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    processors: list[Any] = [structlog.processors.add_log_level]
    if as_json:
        processors += [
            _stamp,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),  # an event is something else here
            structlog.processors.JSONRenderer(serializer=partial(orjson.dumps, option=orjson.OPT_UTC_Z)),
        ]
    else:
        processors += [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
            _encoded,
        ]
    lines = Lines(sys.stderr.buffer, *(() if as_json else (_LOST_AS_TEXT,)))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: lines,  # one for all
        cache_logger_on_first_use=True,
    )
    # Libraries that log by the standard library: warnings and worse, on the same stream.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    return lines


def _encoded(_: Any, __: str, line: Any) -> bytes:
    return str(line).encode(sys.stderr.encoding, "backslashreplace")


def _stamp(_: Any, __: str, fields: dict[str, Any]) -> dict[str, Any]:
    """TimeStamper's text costs as much as the rest of a line; orjson writes the same from the time itself."""
    fields["timestamp"] = datetime.now(UTC)
    return fields
