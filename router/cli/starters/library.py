"""The starters: for each kind of source, the part of a rules file to start with.

A starter is `router/cli/starters/NAME.yaml`, a rules file that is valid by itself: `x-starter` describes it, then come
`sources:` with the one source NAME, and `rules:`. Its text is used unchanged, comments included.
"""

import difflib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

_PARTS = re.compile(r"\Ax-starter:\n.*?^sources:\n(?P<sources>.*?)^rules:\n(?P<rules>.*)\Z", re.DOTALL | re.MULTILINE)
_USUAL_FILE = "rules.yaml"
_FIRST = ("github", "gitlab", "stripe", "slack", "deepgram")  #: they come first in a list, as the most common ones
_LAST = ("standard-webhooks", "hmac", "internal")


@dataclass(frozen=True, slots=True)
class Starter:
    """The part of a rules file for one kind of source."""

    name: str
    title: str  #: one line that describes the source
    secret: str  #: the shell command that sets its secret; empty if it has none
    trial: str  #: the shell command that tries its rule, for a file rules.yaml
    sources: str  #: the lines below `sources:`
    rules: str  #: the lines below `rules:`

    def trial_of(self, file: str) -> str:
        """The command that tries its rule in this file."""
        if file == _USUAL_FILE:
            return self.trial
        name = shlex.quote(file)
        return self.trial.replace(f"test {_USUAL_FILE}", f"test {name}").replace("send -", f"send - --rules {name}")


@cache
def starters() -> dict[str, Starter]:
    """Every starter by name, the most common ones first."""
    found = [
        _read(entry.name, entry.read_text("utf-8"))
        for entry in resources.files("router.cli.starters").iterdir()
        if entry.name.endswith(".yaml")
    ]
    return {starter.name: starter for starter in sorted(found, key=_order)}


def _order(starter: Starter) -> tuple[int, int, str]:
    name = starter.name
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), _LAST.index(name) if name in _LAST else -1, name)


def _read(file: str, text: str) -> Starter:
    name = file.removesuffix(".yaml")
    parts = _PARTS.match(text)
    if parts is None:
        raise ValueError(f"{file} is not a starter: it needs x-starter:, sources: and rules:, in this order")
    about = yaml.safe_load(text)["x-starter"]
    return Starter(name, about["title"], about.get("secret", ""), about["try"], parts["sources"], parts["rules"])


def nearest(word: str, known: Mapping[str, Starter]) -> str | None:
    """The name of the starter that a mistyped word means: a similar name, or the word is in its title."""
    similar = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    if similar:
        return similar[0]
    for starter in known.values():
        if len(word) > 2 and re.search(rf"\b{re.escape(word)}\b", starter.title, re.IGNORECASE):
            return starter.name
    return None
