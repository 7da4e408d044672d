"""What a log line says of an exception: type and place, never its text, which may hold a payload or a secret."""

import os
import sys
import traceback
from collections import deque
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

_OURS = Path(__file__).parents[2]  #: the package `router`, whose files are shown by their path in it
_FRAMES = 40  #: places that are told of one exception: a recursion has a thousand


def tell_fault(fields: MutableMapping[str, Any], *, whole: bool) -> None:
    """Put `error` and `at` in place of a line's exc_info; `whole`: also `trace`, every place from the outermost on."""
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
    """The type, and of the system's errors which one it was."""
    name = type(error).__name__
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return f"{name}: {os.strerror(error.errno)}"
    return name


def _place(error: BaseException) -> str | None:
    """Where it happened, in our code if it was there at all: file and line."""
    places = [place for place, _ in _frames(error)]
    ours = [place for place in places if place.startswith(f"{_OURS.name}/")]
    return (ours or places)[-1] if places else None


def _trace(error: BaseException) -> list[str]:
    found: list[str] = []
    following: BaseException | None = error
    while following is not None and len(found) < 2 * _FRAMES:  # a chain may bite its own tail
        found += [f"{place} in {function}" for place, function in _frames(following)] + [kind_of(following)]
        following = following.__cause__ or following.__context__
    return found


def _frames(error: BaseException) -> list[tuple[str, str]]:
    """Places and functions, the last of many: without the lines' text, for which files would be read."""
    return [
        (f"{_short(frame.f_code.co_filename)}:{line}", frame.f_code.co_name)
        for frame, line in deque(traceback.walk_tb(error.__traceback__), maxlen=_FRAMES)
    ]


def _short(name: str) -> str:
    """A file without the folders that the machine keeps its programs in."""
    path = Path(name)
    return str(path.relative_to(_OURS.parent) if path.is_relative_to(_OURS) else Path(*path.parts[-2:]))
