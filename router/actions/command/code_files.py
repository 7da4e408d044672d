"""The files that a command runs, as far as its constant parts show. Appends may not write to them."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from router.actions.command.launchers import is_interpreter, is_wrapper
from router.actions.command.plain_programs import kind_of
from router.actions.command.program_files import Folders, program_path
from router.actions.command.program_kind import ProgramKind
from router.templates import Template

_SCRIPT = re.compile(r".+\.(?:sh|bash|zsh|py|pl|rb|js|mjs|php|lua|awk|sed|sql|mk)")
_BETWEEN = re.compile(r"[\s;&|<>()`'\"=$]+")
_FILE_OPTION = re.compile(r"(?:-f|-C|--file|--directory|--makefile)(?:=(.+))?")


def code_files(argv: Sequence[Template], folders: Folders) -> Iterator[Path]:
    """The program, what its wrapper or interpreter runs, and files that options such as -f name."""
    texts = [template.constant or "" for template in argv]
    at = 0
    while at < len(texts) and texts[at]:
        path = program_path(texts[at], folders, first=at == 0)
        if path.is_absolute():
            yield path
        name = Path(texts[at]).name
        if is_interpreter(name):
            yield from _script(texts, at, folders)
            return
        if not is_wrapper(name):
            break
        at = next((i for i in range(at + 1, len(texts)) if _may_be_program(texts, i)), len(texts))
    if kind_of(argv, folders) is ProgramKind.OTHER:
        yield folders.cwd
        yield from _by_option(texts, folders)


def script_files(script: str, folders: Folders) -> Iterator[Path]:
    """What a constant shell script probably runs: its words that name a script or an executable file."""
    yield folders.cwd
    for word in set(_BETWEEN.split(script)):
        path = folders.cwd / word
        if _SCRIPT.fullmatch(word) or ("/" in word and os.path.isfile(path) and os.access(path, os.X_OK)):
            yield path


def _may_be_program(texts: Sequence[str], i: int) -> bool:
    text = texts[i]
    is_value = re.fullmatch(r"-[A-Za-z]", texts[i - 1]) and "/" not in text and not is_interpreter(text)
    return bool(text) and not text.startswith("-") and "=" not in text and not text[0].isdigit() and not is_value


def _script(texts: Sequence[str], at: int, folders: Folders) -> Iterator[Path]:
    for before, text in zip(texts[at:], texts[at + 1 :], strict=False):
        # Code after -c is treated as a name too. This is harmless: no such file exists.
        if text and not text.startswith("-") and before not in ("-o", "-W", "-X", "-F", "-v"):
            yield folders.cwd / text
            return


def _by_option(texts: Sequence[str], folders: Folders) -> Iterator[Path]:
    for i, text in enumerate(texts):
        found = _FILE_OPTION.fullmatch(text)
        value = found[1] or (texts[i + 1] if i + 1 < len(texts) else "") if found else ""
        if value:
            yield folders.cwd / value
