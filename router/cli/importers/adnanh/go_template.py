"""The two functions of a hooks file that is a Go template (`webhook -template`): getenv and secret.

They give a text from outside the file. The importer puts a mark in the place of each call. Later it replaces the mark:
a secret by its reference in the rules file, a constant by its value on this machine.
"""

import re
from collections.abc import Mapping

from router.domain.errors import Problem

_CALL = re.compile(
    r"""\{\{-?\s*(?P<word>getenv|secret|credential)\s+(?P<quote>\\?["`'])(?P<name>[^"`'\\]+)(?P=quote)"""
    r"""\s*(?:\|\s*(?:js|html|printf\s+\\?"%s\\?")\s*)*-?\}\}"""
)
_MARK = re.compile("\ue000(getenv|secret|credential):([^\ue001]*)\ue001")
SECRETS_FOLDER = "/run/secrets"


def with_marks(text: str, file: str) -> tuple[str, list[Problem]]:
    """The text with a mark for each call, and a problem for every other template expression."""
    marked = _CALL.sub(lambda found: f"\ue000{found['word']}:{found['name']}\ue001", text)
    problems = []
    for found in re.finditer(r"\{\{", marked):
        line = marked.count("\n", 0, found.start()) + 1
        column = found.start() - marked.rfind("\n", 0, found.start())
        cure = 'only {{ getenv "NAME" }} and {{ secret "NAME" }} are understood; write its result instead'
        problems.append(Problem(file, line, column, "", f"this Go template can't be carried over: {cure}"))
    return marked, problems


def source_of(text: str) -> dict[str, str] | None:
    """The reference to a secret, `{env}` or `{file}`, if the text is a single mark. None for any other text."""
    found = _MARK.fullmatch(text)
    if found is None:
        return None
    return {"env": found[2]} if found[1] == "getenv" else {"file": f"{SECRETS_FOLDER}/{found[2]}"}


def filled(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text with its marks replaced from this machine's environment, and the names of the unset variables."""
    missing: list[str] = []

    def value(found: re.Match[str]) -> str:
        if found[1] == "getenv" and found[2] in environ:
            return environ[found[2]]
        missing.append(found[2])
        return ""

    return _MARK.sub(value, text), missing
