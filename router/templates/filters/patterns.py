"""Filters that search for patterns, with RE2: its work grows only with the text."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import re2

from router.domain.errors import RenderError
from router.templates.budget import CHANGED_PER_STEP, COPIED_PER_STEP
from router.templates.environment import RenderContext
from router.templates.filters.registry import template_filter
from router.templates.text import as_text, text_of

LONGEST_PATTERN = 500  #: characters; a pattern is written by hand
MAX_PIECES = 100_000  #: pieces of a split text
_PATTERN_MEMORY = 1024 * 1024  #: bytes that RE2 may use for a compiled pattern
_COMPILE_STEPS = 500  #: to compile a pattern, some 0.1 ms
_MATCH_STEPS = 10  #: to find and replace a match
_REFERENCE = re.compile(r"\\(\d|\\)")


def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises RenderError with what is wrong in it."""
    if len(pattern) > LONGEST_PATTERN:
        raise RenderError(f"a pattern has at most {LONGEST_PATTERN} characters")
    return _compiled(pattern)


@functools.lru_cache(maxsize=256)  # an exception is not cached
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise RenderError(f"not a regular expression of RE2: {reason}") from None


def check_groups(pattern: Any, parts: Sequence[str]) -> None:
    """Raise RenderError unless the pattern has the groups that a replacement names. `parts` come from
    `replacement_parts`."""
    if any(part.isdigit() and int(part) > pattern.groups for part in parts[1::2]):
        raise RenderError(f"the pattern has {pattern.groups} groups; \\0 is all of the match")


def replacement_parts(replacement: str) -> list[str]:
    """The replacement in parts: text, reference, text, …"""
    return _REFERENCE.split(replacement)


def check_separator(separator: Any) -> None:
    """Raise RenderError unless a text can be split at this separator."""
    if not (separator is None or (isinstance(separator, str) and separator)):
        raise RenderError("split takes a text that is not empty, and the number of cuts at most")


@template_filter("regex_replace")
def _regex_replace(c: RenderContext, value: Any, pattern: str, replacement: str = "", count: int = 0) -> str:
    text = text_of(c.budget, value, "regex_replace")
    if not (isinstance(pattern, str) and isinstance(replacement, str) and type(count) is int):
        raise RenderError("regex_replace takes a pattern and a replacement, which are texts, and a count")
    c.budget.charge_text(len(replacement), "regex_replace", CHANGED_PER_STEP)
    c.budget.charge(_COMPILE_STEPS)
    found = compiled(pattern)
    parts = replacement_parts(replacement)
    check_groups(found, parts)
    pieces: list[str] = []
    length, end = 0, 0
    for number, match in enumerate(found.finditer(text), 1):
        c.budget.charge(_MATCH_STEPS + 2 * len(parts))
        new = "".join([_referred(match, part) if i % 2 else part for i, part in enumerate(parts)])
        pieces += (text[end : match.start()], new)
        length += match.start() - end + len(new)
        c.budget.charge_text(length, "the result of regex_replace", 10**9)
        c.budget.charge((match.start() - end + len(new)) // COPIED_PER_STEP)
        end = match.end()
        if number == count:
            break
    c.budget.charge_text(length + len(text) - end, "the result of regex_replace")
    return "".join([*pieces, text[end:]])


def _referred(match: Any, part: str) -> str:
    return "\\" if part == "\\" else match.group(int(part)) or ""


@template_filter("split")
def _split(c: RenderContext, value: Any, separator: str | None = None, most: int = -1) -> list[str]:
    text = as_text(c.budget.charge_value(value, "split", 8))
    check_separator(separator)
    if type(most) is not int:
        raise RenderError("split takes a text that is not empty, and the number of cuts at most")
    pieces = len(text) // 2 + 1 if separator is None else text.count(separator) + 1
    if most >= 0:
        pieces = min(pieces, most + 1)
    elif separator is None and pieces > MAX_PIECES:
        pieces = len(text.split(None, MAX_PIECES))
    if pieces > MAX_PIECES:
        raise RenderError(f"split makes at most {MAX_PIECES:,} pieces")
    c.budget.charge(2 * pieces)
    return text.split(separator, most)
