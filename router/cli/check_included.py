"""Checks one included file. It loads the rules file that includes it, and shows the problems of that one file."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from router.domain.errors import Level, Problem
from router.domain.files.bounded import Unreadable, read_file
from router.rules.compile.loader import Loaded, Loader
from router.rules.include.entries import patterns_in
from router.rules.include.files import find
from router.rules.yaml.document import MAX_BYTES

_MAIN = "rules.yaml"  #: the usual name of a file that includes others


def main_of(file: Path) -> Path | None:
    """The `rules.yaml` that includes the file, in the file's folder or a folder above. None if there is none."""
    return next((main for main in _candidates(file) if _includes(main, file)), None)


def check_included(loader: Loader, file: Path, main: Path) -> Loaded:
    """The problems of one file that `main` includes. The ruleset has the rules of all files."""
    if not _includes(main, file):
        known = ", ".join(patterns_in(_content(main))) or "nothing"
        message = f"{file} is not included here; include: names {known}"
        return Loaded(None, (Problem(str(main), 1, 1, "", message),))
    loaded = loader.load_file(main)
    real = os.path.realpath(file)
    own = [replace(one, file=str(file)) for one in loaded.problems if os.path.realpath(one.file) == real]
    elsewhere = sum(one.level is Level.ERROR for one in loaded.problems) - sum(one.level is Level.ERROR for one in own)
    if elsewhere:
        message = f"errors in other files: {elsewhere}; `webhook-router check {main}` lists them"
        own.append(Problem(str(main), 1, 1, "", message, Level.NOTE))
    return replace(loaded, problems=tuple(own))


def _candidates(file: Path) -> Iterator[Path]:
    folder = file.absolute().parent
    for above in (folder, *folder.parents):
        main = above / _MAIN
        if main.is_file() and os.path.realpath(main) != os.path.realpath(file):
            yield Path(os.path.relpath(main)) if not file.is_absolute() else main


def _includes(main: Path, file: Path) -> bool:
    real = os.path.realpath(file)
    folder = os.path.dirname(os.path.realpath(main))  # noqa: PTH120 - as the loader does
    return any(os.path.realpath(one.path) == real for one in find(folder, patterns_in(_content(main)), main))


def _content(main: Path) -> bytes:
    try:
        return read_file(main, MAX_BYTES)
    except Unreadable:
        return b""
