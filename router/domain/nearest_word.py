"""The known word that an unknown one was probably meant as."""

import difflib
from collections.abc import Collection, Iterable

from router.domain.work_budget import spend

LONGEST = 64  #: characters of a word that a near one is looked for: comparing grows with the square of the length
CHOICES = 300  #: words that it is compared with
_SHOWN = 20  #: known words that a message names


def did_you_mean(word: str, known: Iterable[str], *, most: int = _SHOWN) -> str:
    """`; did you mean "x"?`, or `most` of the known words; nothing once a load has looked often enough."""
    if not spend("suggestions"):
        return ""
    choices = sorted(known)
    near = _nearest(word, choices, 0.6)
    if near is not None:
        return f'; did you mean "{near}"?'
    return f"; {known_words(choices, most=most)}" if choices else ""


def known_words(known: Iterable[str], *, most: int = _SHOWN) -> str:
    """`known: a, b`, as far as a message has room for them."""
    return "known: " + ", ".join(shortened(word) for word in sorted(known)[:most])


def nearest(word: str, choices: Collection[str], likeness: float = 0.6) -> str | None:
    """The word that is most like the given one; none when none is near, or a load has looked often enough."""
    return _nearest(word, choices, likeness) if spend("suggestions") else None


def shortened(text: str, limit: int = 60) -> str:
    """Text fit for a message: short and on one line."""
    text = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _nearest(word: str, choices: Collection[str], likeness: float) -> str | None:
    if len(word) > LONGEST:
        return None
    alike = [choice for choice in choices if len(choice) <= LONGEST]
    if len(alike) > CHOICES:  # those that begin or end as it does
        alike = [choice for choice in alike if choice[:2] == word[:2] or choice[-3:] == word[-3:]][:CHOICES]
    return next(iter(difflib.get_close_matches(word, alike, 1, likeness)), None)
