"""Composes a rules file from starters."""

import shlex
from collections.abc import Iterable

from router.cli.starters.library import Starter

_HEADER = """\
# Rules of webhook-router, written by `webhook-router init`. Change them whenever you like. A running daemon loads a
# saved change within a second, or logs where the mistake is and keeps the old rules.
#
#   webhook-router check {file}      find mistakes in the file
#   webhook-router serve {file}      run the daemon
#
# Providers reach this machine by your reverse proxy or tunnel: put its address where hooks.example.com stands below.
version: 1
"""


def composed(chosen: Iterable[Starter], file: str) -> str:
    """The text of a rules file with these starters. `file` is its path, for the commands in its comments."""
    starters = list(chosen)
    sources = "\n".join(f"  # {starter.title}.\n{starter.sources}{_secret_comment(starter)}" for starter in starters)
    rules = "\n".join(f"{starter.rules.rstrip()}\n{_trial_comment(starter, file)}" for starter in starters)
    return f"{_HEADER.format(file=shlex.quote(file))}\nsources:\n{sources}\nrules:\n{rules}"


def _secret_comment(starter: Starter) -> str:
    return f"  # Before serve: {starter.secret}\n" if starter.secret else ""


def _trial_comment(starter: Starter, file: str) -> str:
    echo, _, command = starter.trial_of(file).partition(" | ")
    return f"  # Try it:\n  #   {echo} |\n  #     {command}\n"
