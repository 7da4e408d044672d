"""Ends a command with exit code 1, and says why."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from router.cli.options import loader

if TYPE_CHECKING:
    from router.rules.compile.loader import Loaded
    from router.rules.ruleset import Ruleset


def fail(message: str) -> NoReturn:
    """Print the message, and end the command."""
    click.echo(f"webhook-router: {message}", err=True)
    sys.exit(1)


def ruleset_of(rules: Path) -> "Ruleset":
    """The rules in this file. If it has an error, its problems are printed and the command ends."""
    return usable(loader(require_secrets=False).load_file(rules))


def usable(loaded: "Loaded") -> "Ruleset":
    """The loaded rules. After an error the problems are printed and the command ends."""
    if loaded.ruleset is None:
        for problem in loaded.problems:
            click.echo(str(problem), err=True)
        sys.exit(1)
    return loaded.ruleset
