"""`regex` and `glob`: the value matches a pattern. RE2 matches in time that grows linearly with the text."""

import re
from typing import Any

import re2

from router.rules.match.operators.operand import Flags, OperandError, Predicate, needle, on_text, text_operand
from router.rules.yaml.nodes import Node

MAX_PATTERN_MEMORY = 1 << 20  #: bytes of a pattern's compiled program; only huge counted repeats need more


def regex(node: Node, flags: Flags) -> Predicate:
    """The pattern (RE2 syntax) matches somewhere in the text; ^ and $ anchor."""
    text = text_operand(node, what="a regular expression")
    if not text:
        raise OperandError("an empty pattern matches every text; use exists: true, or equals: '' for empty text", node)
    pattern = compile_pattern(text, node, flags)
    return lambda value: isinstance(value, str) and pattern.search(value) is not None


_NEVER = "don't exist in RE2, which never backtracks"
_NOT_RE2 = (
    (
        re.compile(r"\(\?(=|!|<=|<!)"),
        "lookahead and lookbehind don't exist in RE2, which never backtracks; use not: beside it",
    ),
    (re.compile(r"\\[1-9]|\\k[<{']|\(\?P=|\\g\d"), "backreferences don't exist in RE2, which never backtracks"),
    (
        re.compile(r"\(\?>|[*+?}]\+"),
        "atomic groups and possessive repeats don't exist in RE2, which never backtracks; leave them out",
    ),
    (re.compile(r"\(\?#"), "comments don't exist in RE2; write a YAML comment"),
    (re.compile(r"\(\?\("), "conditionals don't exist in RE2; write the alternatives: a|b"),
    (re.compile(r"\\Z"), "\\Z doesn't exist in RE2; the end of the text is \\z, or $"),
    (
        re.compile(r"\{\d{4,}|\{\d*,\d{4,}|\{\d+.*\{\d+"),
        "repeats add up to 1,000 at the most; use + with length: beside it",
    ),
)


def compile_pattern(text: str, node: Node, flags: Flags) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY
    options.case_sensitive = not flags.fold
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        reason = next((why for pattern, why in _NOT_RE2 if pattern.search(text)), reason)
        raise OperandError(f"not a regular expression of RE2: {reason}", node) from None


def glob(node: Node, flags: Flags) -> Predicate:
    """The whole text matches; * is any text, / included, and ? any one character."""
    pattern = compile_pattern(glob_pattern(needle(node, flags)), node, flags)
    return on_text(lambda value: pattern.fullmatch(value) is not None, flags)


def glob_pattern(text: str) -> str:
    """The regular expression of a glob, for the whole text."""
    parts = (".*" if c == "*" else "." if c == "?" else re2.escape(c) for c in re.sub(r"\*+", "*", text))
    return "(?s)" + "".join(parts)
