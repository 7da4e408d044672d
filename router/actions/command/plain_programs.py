"""Which programs may take a sender's text as arguments or on standard input without `allow_code`.

Nobody can list all programs that run a part of their input (sed, xargs, make, find, tar, psql …). So this module lists
the plain ones: a few programs and the operator's own scripts. All others are not plain.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.actions.command.known_programs import MULTICALL, PLAIN, READERS
from router.actions.command.launchers import WRAPPERS, Interpreter, Wrapper, interpreter_of
from router.actions.command.own_programs import kind_of_own
from router.actions.command.plain_variables import is_plain
from router.actions.command.program_files import Folders, is_installed, program_path
from router.actions.command.program_kind import STANDARD_INPUT, ProgramKind
from router.templates import Template

_MOST_LINKS = 4  #: how many interpreters and wrappers may be chained


def kind_of(argv: Sequence[Template], folders: Folders) -> ProgramKind:
    """How much of a sender's text the program may get. Looks through wrappers, interpreters, first lines and
    symlinks."""
    parts = tuple(map(_Part.of, argv))
    key = (parts, folders.base_dir, folders.cwd)
    if key not in folders.found:
        folders.found[key] = _kind(parts, folders, first=True, links=_MOST_LINKS)
    kind: ProgramKind = folders.found[key]
    return kind


@dataclass(frozen=True, slots=True)
class _Part:
    """One element of an argument list."""

    text: str | None  #: None when it depends on the event
    literal: str = ""  #: the text as written; for NAME=template the variable's name

    @classmethod
    def of(cls, template: Template) -> "_Part":
        variable = re.match(r"[A-Za-z_]\w*=", template.text)
        return cls(
            template.constant, template.text if template.constant is not None else variable[0] if variable else ""
        )


def _kind(argv: Sequence[_Part], folders: Folders, *, first: bool, links: int) -> ProgramKind:
    if not argv or argv[0].text is None or not argv[0].text or links == 0:
        return ProgramKind.OTHER
    program = argv[0].text
    path = program_path(program, folders, first=first)
    real = os.path.realpath(path)
    name, real_name = Path(program).name, Path(real).name
    if real_name in MULTICALL:
        if name in MULTICALL:
            return _applet(argv, folders, links)
        real_name = name
    if "/" in program and folders.is_own(real):
        own = kind_of_own(real, real_name)
        if own is not None:
            return own
    names = {name, real_name} if "/" in program or path.is_absolute() else {name}
    interpreter = interpreter_of(real_name) or interpreter_of(name)
    if interpreter is not None:
        return _interpreted(interpreter, argv, folders)
    wrapper = WRAPPERS.get(real_name) if real_name == name or name not in WRAPPERS else None
    if wrapper is not None:
        return _wrapped(wrapper, argv, folders, links)
    if "/" in program and not is_installed(real):
        return ProgramKind.OTHER
    if names <= PLAIN:
        return ProgramKind.PLAIN
    return ProgramKind.READER if names <= PLAIN | READERS else ProgramKind.OTHER


def _applet(argv: Sequence[_Part], folders: Folders, links: int) -> ProgramKind:
    """`busybox NAME …`: judged like the program NAME."""
    if len(argv) < 2 or argv[1].text is None or "/" in argv[1].text:
        return ProgramKind.OTHER
    name = argv[1].text
    if name in PLAIN:
        return ProgramKind.PLAIN
    if name in READERS:
        return ProgramKind.READER
    interpreter = interpreter_of(name)
    if interpreter is not None:
        return _interpreted(interpreter, argv[1:], folders)
    return _wrapped(WRAPPERS[name], argv[1:], folders, links) if name in WRAPPERS else ProgramKind.OTHER


def _interpreted(how: Interpreter, argv: Sequence[_Part], folders: Folders) -> ProgramKind:
    """Plain when the code is in the rules file or in a script of the operator: then the arguments after it are data."""
    i = 1
    while i < len(argv):
        text = argv[i].text
        if text is None:
            return ProgramKind.OTHER
        if how.code is not None and how.code.fullmatch(text):
            code = argv[i + 1].text if i + 1 < len(argv) else None
            return ProgramKind.PLAIN if code is not None and not code.startswith("-") else ProgramKind.OTHER
        if text in how.file or (text == "--" and not how.inline):
            return _script(argv, i + 1, folders)
        if text in how.valued:
            if i + 1 >= len(argv) or argv[i + 1].text is None:
                return ProgramKind.OTHER
            i += 2
        elif how.flags.fullmatch(text):
            i += 1
        elif text.startswith("-"):
            return ProgramKind.OTHER
        else:
            return ProgramKind.PLAIN if how.inline else _script(argv, i, folders)
    return ProgramKind.OTHER


def _script(argv: Sequence[_Part], at: int, folders: Folders) -> ProgramKind:
    text = argv[at].text if at < len(argv) else None
    if not text or text.startswith("-") or "\0" in text:
        return ProgramKind.OTHER
    return ProgramKind.PLAIN if folders.is_own(os.path.realpath(folders.cwd / text)) else ProgramKind.OTHER


def _wrapped(how: Wrapper, argv: Sequence[_Part], folders: Folders, links: int) -> ProgramKind:
    """A wrapper is judged like the program that it runs."""
    i, operands = 1, how.operands
    while i < len(argv):
        part = argv[i]
        if how.variables and operands == 0 and re.match(r"[A-Za-z_]\w*=", part.literal):
            name, _, value = part.literal.partition("=")
            if (part.text is None and not is_plain(name)) or STANDARD_INPUT.search(value):
                return ProgramKind.OTHER
            i += 1
        elif part.text is None:
            return ProgramKind.OTHER
        elif part.text == "--":
            i += 1
            return _kind(argv[i + operands :], folders, first=False, links=links - 1)
        elif part.text in how.valued:
            i += 2
        elif how.flags.fullmatch(part.text):
            i += 1
        elif part.text.startswith("-"):
            return ProgramKind.OTHER
        elif operands:
            operands -= 1
            i += 1
        else:
            return _kind(argv[i:], folders, first=False, links=links - 1)
    return ProgramKind.OTHER
