"""An exception in a log line: its type and place. Its text is left out, since it may hold a payload or a secret."""

import os
import sys
import traceback
from collections import deque
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import router

_PACKAGE = Path(router.__file__).parent
_FRAMES = 40  #: places of one exception that are shown; a recursion has a thousand


def describe_exception(fields: MutableMapping[str, Any], *, whole: bool) -> None:
    """Replace a line's exc_info by `error` and `at`. With `whole` add `trace`: all places, the outermost first."""
    error = fields.pop("exc_info")
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return
    fields.setdefault("error", kind_of(error))
    fields["at"] = _place(error)
    if whole:
        fields["trace"] = _trace(error)


def kind_of(error: BaseException) -> str:
    """The exception's type. For a system error also the text of its errno."""
    name = type(error).__name__
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{name}: {os.strerror(error.errno)}"
    return name


def _place(error: BaseException) -> str | None:
    """File and line of the innermost place, in this package if the exception passed through it."""
    places = [place for place, _ in _frames(error)]
    own = [place for place in places if place.startswith(f"{_PACKAGE.name}/")]
    return (own or places)[-1] if places else None


def _trace(error: BaseException) -> list[str]:
    found: list[str] = []
    following: BaseException | None = error
    while following is not None and len(found) < 2 * _FRAMES:  # a chain of causes may be a loop
        found += [f"{place} in {function}" for place, function in _frames(following)] + [kind_of(following)]
        following = following.__cause__ or following.__context__
    return found


def _frames(error: BaseException) -> list[tuple[str, str]]:
    """Places and functions, the innermost of many. Source lines are left out: they would have to be read from files."""
    return [
        (f"{_short(frame.f_code.co_filename)}:{line}", frame.f_code.co_name)
        for frame, line in deque(traceback.walk_tb(error.__traceback__), maxlen=_FRAMES)
    ]


def _short(name: str) -> str:
    """A file's path without this machine's own folders."""
    path = Path(name)
    return str(path.relative_to(_PACKAGE.parent) if path.is_relative_to(_PACKAGE) else Path(*path.parts[-2:]))
