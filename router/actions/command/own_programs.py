"""The operator's own programs. Scripts are judged by their first line; native programs are checked for copies."""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from router.actions.command.known_programs import DANGEROUS, MULTICALL, RUN_SCRIPTS
from router.actions.command.launchers import WRAPPERS, interpreter_of
from router.actions.command.program_files import found_in_path
from router.actions.command.program_kind import ProgramKind

_FIRST_LINE = 256  #: bytes that Linux reads of a script's first line
#: options in a script's first line that make the interpreter run its input or arguments
_TAKES_CODE = re.compile(r"-|-\w*[csenpEm]\w*|--(?:eval|print|command|execute).*")


def kind_of_own(real: str, name: str) -> ProgramKind | None:
    """An own program is plain, unless its first line makes it run the sender's text.

    None for a copy of a known program; the copy is judged like the original.
    """
    first = _first_line(real)
    if first is None:
        is_there = os.path.isfile(real)
        return None if is_there and (_is_known(name) or _is_copy(real)) else ProgramKind.PLAIN
    program, _, rest = first.partition(" ")
    words = [rest.strip()] if rest.strip() else []
    if Path(program).name == "env":
        words = [word for word in rest.split() if word not in ("-S", "-i", "-") and "=" not in word]
        program, words = (words[0].removeprefix("-S"), words[1:]) if words else ("", [])
    return _by_first_line(Path(program).name, words)


def _by_first_line(name: str, words: Sequence[str]) -> ProgramKind:
    how = interpreter_of(name)
    if how is None:
        is_plain_sed = name == "sed" and bool(words) and bool(re.fullmatch(r"-[nErsuz]*f", words[0]))
        takes_more = not name or name in WRAPPERS or name in MULTICALL or name in DANGEROUS - RUN_SCRIPTS
        return ProgramKind.OTHER if takes_more and not is_plain_sed else ProgramKind.PLAIN
    if how.inline and not any(re.fullmatch(r"-\w*f", word) for word in words):
        return ProgramKind.OTHER
    return (
        ProgramKind.OTHER
        if any(_TAKES_CODE.fullmatch(word) and not how.flags.fullmatch(word) for word in words)
        else ProgramKind.PLAIN
    )


def _first_line(real: str) -> str | None:
    """The text after `#!`; None when the file is not a script or does not exist."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        begin = os.read(descriptor, _FIRST_LINE)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return begin[2:].split(b"\n", 1)[0].decode(errors="replace").strip() if begin.startswith(b"#!") else None


def _is_copy(real: str) -> bool:
    """Whether a native program is a renamed copy of one of the machine's dangerous programs."""
    try:
        size = os.stat(real).st_size  # noqa: PTH116 - the path is a str
    except OSError:
        return False
    return any(_same(real, other) for other in _dangerous_files().get(size, ()))


@cache
def _dangerous_files() -> dict[int, list[str]]:
    """The machine's dangerous programs, by file size."""
    found: dict[int, list[str]] = {}
    every = "sh bash dash ash zsh ksh mksh python3 perl ruby node php lua luajit tclsh awk gawk mawk busybox toybox"
    for name in sorted({*DANGEROUS, *WRAPPERS, *every.split()}):
        path = found_in_path(name)
        if path is not None:
            real = os.path.realpath(path)
            found.setdefault(os.stat(real).st_size, []).append(real)  # noqa: PTH116 - the path is a str
    return found


def _same(one: str, other: str) -> bool:
    try:
        with open(one, "rb") as first, open(other, "rb") as second:  # noqa: PTH123 - the paths are str
            while (part := first.read(1 << 20)) == second.read(1 << 20):
                if not part:
                    return True
    except OSError:
        return False
    return False


def _is_known(name: str) -> bool:
    """Whether a program of this name runs its input or arguments. A copy of bash in an own folder is still bash."""
    return name in WRAPPERS or name in MULTICALL or name in DANGEROUS or interpreter_of(name) is not None
