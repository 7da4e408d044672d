"""Writes a rules file for hooks. It always loads: a part that would not load is disabled or commented out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.cli.importers.adnanh.document import block, comment, scalar
from router.cli.importers.adnanh.hooks import Hook
from router.cli.importers.adnanh.notes import Note
from router.cli.importers.adnanh.translate import Translated, translate
from router.domain.errors import Level, Problem

Check = Callable[[str], Sequence[Problem]]
_BAD_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_NAME = 60
_HEADER = (
    "Rules of webhook-router, imported from {files} of adnanh/webhook.",
    "Differences for every hook are listed in docs/from-adnanh.md; differences for one hook are above it.",
    "After your changes: webhook-router check --strict",
)


@dataclass(slots=True)
class _Written:
    """A hook with the lines that it has in the file, from 1."""

    hook: Translated
    source: range
    rule: range
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A rules file, and the notes on it."""

    text: str
    hooks: Sequence[Translated]
    notes: Sequence[Note]
    refused: Sequence[tuple[Translated, str]]  #: hooks that became comments, since they would not load

    @property
    def is_complete(self) -> bool:
        """Whether each hook runs."""
        return not self.refused and not any(note.lost for note in self.notes)


def import_hooks(hooks: Sequence[Hook], prefix: str, check: Check) -> Imported:
    """The rules file of these hooks; `check` gives the problems of a text."""
    names = _names(hooks)
    translated = [translate(hook, name, prefix) for hook, name in zip(hooks, names, strict=True)]
    refused: dict[int, str] = {}
    files = ", ".join(dict.fromkeys(Path(hook.place.file).name for hook in hooks))
    text, written = _compose(translated, refused, files)
    for _ in range(2 * len(hooks) + 1):
        errors = [problem for problem in check(text) if problem.level is Level.ERROR]
        changed = [at for at, one in enumerate(written) if _mend(at, one, errors, translated, refused)]
        if not errors or not changed:
            break
        text, written = _compose(translated, refused, files)
    notes = [note for one in translated for note in one.notes]
    return Imported(text, translated, notes, [(translated[at], why) for at, why in refused.items()])


def _mend(
    at: int, one: _Written, errors: Sequence[Problem], translated: list[Translated], refused: dict[int, str]
) -> bool:
    """Change a hook so that its errors disappear. False when it has none, or is disabled already."""
    own = [error for error in errors if error.line in one.source or error.line in one.rule]
    if not own or at in refused:
        return False
    if "allow_code" not in one.hook.rule and all("allow_code: true" in error.message for error in own):
        translated[at] = one.hook.with_code()
    else:
        refused[at] = "; ".join(dict.fromkeys(error.message for error in own))
    return True


def _compose(hooks: Sequence[Translated], refused: dict[int, str], files: str) -> tuple[str, list[_Written]]:
    lines = [
        *(line for text in _HEADER for line in comment([text.format(files=files)], 0)),
        "version: 1",
        "",
        "sources:",
    ]
    sources = []
    for at, hook in enumerate(hooks):
        content = [f"  {scalar(hook.name)}:", *block(hook.source, 4)]
        sources.append(range(len(lines) + 1, len(lines) + len(content) + 1))
        lines += _commented_out(content, f"source {hook.name}", refused[at]) if at in refused else content
    lines += ["", "rules:"]
    written = []
    for at, hook in enumerate(hooks):
        lines += comment([f"{hook.hook.id}, {hook.hook.place}", *hook.comments], 2)
        content = _rule_lines(hook)
        place = range(len(lines) + 1, len(lines) + len(content) + 1)
        lines += _commented_out(content, f"rule {hook.name}", refused[at]) if at in refused else content
        written.append(_Written(hook, sources[at], place))
    return "\n".join(lines) + "\n", written


def _rule_lines(hook: Translated) -> list[str]:
    first, *further = block(hook.rule, 4)
    return [f"  - {first.lstrip()}", *further]


def _commented_out(content: Sequence[str], what: str, why: str) -> list[str]:
    return [*comment([f"OFF: this {what} does not load: {why}"], 2), *(f"  #{line}" for line in content)]


def _names(hooks: Sequence[Hook]) -> list[str]:
    """A name for each hook: its id, where a source can have that name."""
    names: list[str] = []
    for hook in hooks:
        base = _BAD_NAME.sub("-", hook.id).strip("-.")[:_MOST_NAME] or "hook"
        name, number = base, 2
        while name in names or name in ("router", "unmatched"):
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names
