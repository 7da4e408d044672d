"""Checks the text of a rules file as if the file were in a folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from router.cli.options import loader
from router.domain.errors import Problem


def check_in(folder: Path) -> Callable[[str], Sequence[Problem]]:
    """A function that gives the problems of a text, for a file in this folder."""

    def check(text: str) -> Sequence[Problem]:
        return (
            loader(require_secrets=False)
            .load(text.encode(), file="rules.yaml", base_dir=Path(os.path.realpath(folder)))
            .problems
        )

    return check
