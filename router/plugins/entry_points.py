"""Finds plugins of other packages by entry points, and says why one can't be used."""

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

ACTIONS = "webhook_router.actions"
SCHEMES = "webhook_router.schemes"
RESERVED = frozenset(
    {
        *("name", "enabled", "retry", "order_by", "latest_by", "wait", "max_wait", "once_by", "within", "if", "item"),
        *("none", "scheme"),
    }
)
"""Keys that can stand beside an action's type or a scheme's name. A plugin can't have such a name."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LONGEST_REASON = 300  #: characters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that is installed, whether or not it can be used."""

    group: str  #: the group of its entry point
    name: str  #: its name in a rules file
    package: str  #: the package, with its version
    error: str = ""  #: why it can't be used

    @property
    def kind(self) -> str:
        """The kind of plugin, in a word."""
        return "action" if self.group == ACTIONS else "scheme"

    def sentence(self) -> str:
        """What is wrong with it."""
        return f'the plugin for the {self.kind} "{self.name}" (package {self.package}) can\'t be used: {self.error}'


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The plugins of one group."""

    usable: dict[str, T]
    installed: Sequence[InstalledPlugin]


def find(group: str, taken: Callable[[], Collection[str]], fit: Callable[[str, str, Any], T]) -> Found[T]:
    """Load the plugins of a group. `taken` has the program's own names.

    `fit` gets name, package and object, and raises ValueError with the reason when the object does not fit. A plugin
    that fails is reported; the others are loaded.
    """
    usable: dict[str, T] = {}
    installed: list[InstalledPlugin] = []
    points = _points(group)
    own = taken() if points else ()
    for point in points:
        package = _package(point)
        try:
            _check_name(point.name, own, usable)
            with contextlib.redirect_stdout(sys.stderr):  # standard output belongs to the command
                usable[point.name] = fit(point.name, package, point.load())
            error = ""
        except KeyboardInterrupt:  # the operator ends the program
            raise
        except BaseException as found:  # noqa: BLE001 - a foreign module may do anything while it is imported
            error = _reason(found)
        installed.append(InstalledPlugin(group, point.name, package, error))
    return Found(usable, tuple(installed))


@functools.cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    found = {(point.name, _package(point), point.value): point for point in entry_points(group=group)}
    return tuple(found[key] for key in sorted(found))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown"


def _check_name(name: str, taken: Collection[str], usable: Collection[str]) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("its name is not a word of lower-case letters, digits, _ and -, up to 64")
    if name in RESERVED:
        raise ValueError("its name is a key of the rules file; the package has to choose another")
    if name in taken:
        raise ValueError("its name is taken by the program itself; the package has to choose another")
    if name in usable:
        raise ValueError("its name is taken by another plugin; remove one of the packages")


def _reason(error: BaseException) -> str:
    """The error's text in one line. An import error may quote code, but no secret."""
    text = text_of(error, _LONGEST_REASON)
    if type(error) is ValueError:
        return text
    place = _place(error)
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"


def text_of(error: BaseException, longest: int) -> str:
    """The error's text in one line that is safe to print; empty if it has none."""
    try:
        return one_line(str(error), longest)
    except BaseException:  # noqa: BLE001 - of a foreign class
        return ""


def one_line(text: str, longest: int) -> str:
    """A foreign text as one line that is safe to print and to store."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:longest]


def _place(error: BaseException) -> str:
    """The last line of the plugin's own code in the traceback."""
    trace = error.__traceback__
    found = ""
    own = sys.modules[__name__].__file__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != own and "importlib" not in file:
            found = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found
