"""Logs the messages of libraries and of Python itself. Their texts may hold URLs and payloads.

So only the constant part of a library's message is logged. Numbers stay in it; any other value is replaced by its type.
"""

import contextlib
import logging
import re
import sys
import threading
import warnings
from typing import Any

import structlog

_LONGEST = 200  #: characters of a library's message
_PATH = re.compile(r"\S*/\S*")  #: or a URL
_QUOTED = re.compile(r"""(['"]).*?(?:\1|$)""")

log = structlog.get_logger()


def listen() -> None:
    """Log, from now on, the messages that libraries and Python would write to standard error."""
    root = logging.getLogger()
    root.handlers[:] = [_Listener()]
    root.setLevel(logging.WARNING)
    warnings.showwarning = _warned
    sys.unraisablehook = _unraisable
    threading.excepthook = _thread_ended


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell = log.error if record.levelno >= logging.ERROR else log.warning
        fields: dict[str, Any] = {"library": record.name, "said": constant_part(record)}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exc_info"] = record.exc_info
        tell("a library has something to say", **fields)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in logging
        """Write nothing: Python's own method writes a traceback with the record's values."""


def constant_part(record: logging.LogRecord) -> str:
    """The constant part of a record's message."""
    template = record.msg
    if not isinstance(template, str):  # usually an exception, whose text may hold a payload
        return str(_without_value(template))
    if isinstance(record.args, tuple) and record.args:
        with contextlib.suppress(TypeError, ValueError):  # a format that needs a number
            template %= tuple(_without_value(value) for value in record.args)
    return bounded(template)


def bounded(text: str) -> str:
    """The first line, cut to a limit, without quoted texts, paths and URLs."""
    first = text.split("\n", 1)[0]
    return _QUOTED.sub("'…'", _PATH.sub("…", first[: 10 * _LONGEST]))[:_LONGEST]


def _without_value(value: object) -> object:
    return value if isinstance(value, int | float) else f"<{type(value).__name__}>"


def _warned(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    log.warning("Python warns; please report it", error=category.__name__, said=bounded(str(message)))


def _unraisable(found: Any) -> None:
    log.error("a fault of ours that nobody could catch", exc_info=found.exc_value)


def _thread_ended(found: Any) -> None:
    if found.exc_type is not SystemExit:
        name = found.thread.name if found.thread is not None else None
        log.error("a thread ended by a fault of ours", thread=name, exc_info=found.exc_value)
