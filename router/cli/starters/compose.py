"""Starter rules: for each kind of source a rules file of its own, of which `init` makes one.

A starter is `router/starters/NAME.yaml`, a rules file that loads by itself: `x-starter` tells of it, then come
`sources:` with the one source NAME, and `rules:`. Its text is taken as it stands, comments included.
"""

import difflib
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

_PARTS = re.compile(r"\Ax-starter:\n.*?^sources:\n(?P<sources>.*?)^rules:\n(?P<rules>.*)\Z", re.DOTALL | re.MULTILINE)
_USUAL_FILE = "rules.yaml"
_HEADER = """\
# Rules of webhook-router, written by `webhook-router init`. Change them at will, also while the daemon runs: within a
# second it works by what you saved, or says where the mistake is and keeps the rules that it had.
#
#   webhook-router check {file}      is the file right?
#   webhook-router serve {file}      do it
#
# Providers reach this machine by your reverse proxy or tunnel: put its address where hooks.example.com stands below.
version: 1
"""


@dataclass(frozen=True, slots=True)
class Starter:
    """What one kind of source begins with."""

    name: str
    title: str  #: what it is, in one line
    secret: str  #: the command that sets its secret in a shell; empty: it has none
    trial: str  #: the command that tries its rule, for a file called rules.yaml
    sources: str  #: the lines below `sources:`
    rules: str  #: the lines below `rules:`

    def trial_of(self, file: str) -> str:
        """The command that tries its rule in a file of another name."""
        if file == _USUAL_FILE:
            return self.trial
        name = shlex.quote(file)
        return self.trial.replace(f"test {_USUAL_FILE}", f"test {name}").replace("send -", f"send - --rules {name}")


@cache
def starters() -> dict[str, Starter]:
    """Every starter by name: first those that most people look for."""
    found = [_read(entry.name, entry.read_text("utf-8")) for entry in resources.files("router.cli.starters").iterdir()
             if entry.name.endswith(".yaml")]  # fmt: skip
    first = ["github", "gitlab", "stripe", "slack", "deepgram"]
    last = ["standard-webhooks", "hmac", "internal"]

    def place(starter: Starter) -> tuple[int, int, str]:
        name = starter.name
        return (first.index(name) if name in first else len(first), last.index(name) if name in last else -1, name)

    return {starter.name: starter for starter in sorted(found, key=place)}


def _read(file: str, text: str) -> Starter:
    name = file.removesuffix(".yaml")
    parts = _PARTS.match(text)
    if parts is None:
        raise ValueError(f"{file} is no starter: it needs x-starter:, sources: and rules:, in this order")
    about = yaml.safe_load(text)["x-starter"]
    return Starter(name, about["title"], about.get("secret", ""), about["try"], parts["sources"], parts["rules"])


def composed(chosen: Iterable[Starter], file: str) -> str:
    """The rules file of some starters, of which each stands once; `file` is what it will be called."""
    picked = list(chosen)
    sources = "\n".join(f"  # {starter.title}.\n{starter.sources}{_before_serve(starter)}" for starter in picked)
    rules = "\n".join(f"{starter.rules.rstrip()}\n{_trial(starter, file)}" for starter in picked)
    return f"{_HEADER.format(file=shlex.quote(file))}\nsources:\n{sources}\nrules:\n{rules}"


def _before_serve(starter: Starter) -> str:
    return f"  # Before serve: {starter.secret}\n" if starter.secret else ""


def _trial(starter: Starter, file: str) -> str:
    echo, _, command = starter.trial_of(file).partition(" | ")
    return f"  # Try it:\n  #   {echo} |\n  #     {command}\n"


def nearest(word: str) -> str | None:
    """The starter that somebody means who writes this: a name like it, or a provider that a title names."""
    known = starters()
    near = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    if near:
        return near[0]
    for starter in known.values():
        if len(word) > 2 and re.search(rf"\b{re.escape(word)}\b", starter.title, re.IGNORECASE):
            return starter.name
    return None
