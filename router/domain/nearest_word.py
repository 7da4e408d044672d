"""Suggests a known word for a misspelt one."""

import difflib
from collections.abc import Collection, Iterable

from router.domain.work_budget import spend

LONGEST = 64  #: characters of a word that gets a suggestion: the work grows with the square of the length
CHOICES = 300  #: known words that are compared with it
_SHOWN = 20  #: known words that a message names


def did_you_mean(word: str, known: Iterable[str], *, most: int = _SHOWN) -> str:
    """`; did you mean "x"?`, or at most `most` of the known words; empty when the load's budget is spent."""
    if not spend("suggestions"):
        return ""
    choices = sorted(known)
    near = _nearest(word, choices, 0.6)
    if near is not None:
        return f'; did you mean "{near}"?'
    return f"; {known_words(choices, most=most)}" if choices else ""


def known_words(known: Iterable[str], *, most: int = _SHOWN) -> str:
    """`known: a, b`, with at most `most` words."""
    return "known: " + ", ".join(shortened(word) for word in sorted(known)[:most])


def nearest(word: str, choices: Collection[str], likeness: float = 0.6) -> str | None:
    """The choice that is most like the word; None when no choice is near, or the load's budget is spent."""
    return _nearest(word, choices, likeness) if spend("suggestions") else None


def shortened(text: str, limit: int = 60) -> str:
    """The text for a message: short, and on one line."""
    text = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _nearest(word: str, choices: Collection[str], likeness: float) -> str | None:
    if len(word) > LONGEST:
        return None
    alike = [choice for choice in choices if len(choice) <= LONGEST]
    if len(alike) > CHOICES:  # the choices with the same beginning or end
        alike = [choice for choice in alike if choice[:2] == word[:2] or choice[-3:] == word[-3:]][:CHOICES]
    return next(iter(difflib.get_close_matches(word, alike, 1, likeness)), None)
