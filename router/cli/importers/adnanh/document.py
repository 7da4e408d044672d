"""Writes mappings and lists as the YAML of a rules file, with comments."""

import json
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_WIDTH = 116
_PLAIN = re.compile(r"(?:\.{0,2}/|[A-Za-z$])[A-Za-z0-9_./$-]*|\d+(?:ms|s|m|h|d)")
_WORDS = (
    "true",
    "false",
    "null",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
)  #: also those of YAML 1.1, as many programs read it


@dataclass(frozen=True, slots=True)
class Commented:
    """A value with comments above its key."""

    value: Any
    comments: tuple[str, ...]


def block(value: dict[str, Any], depth: int) -> list[str]:
    """The lines of a mapping, indented by `depth` blanks."""
    lines: list[str] = []
    for key, written in value.items():
        content = written
        if isinstance(content, Commented):
            lines += comment(content.comments, depth)
            content = content.value
        lines += _entry(scalar(key), content, depth)
    return lines


def _entry(key: str, value: Any, depth: int) -> list[str]:
    pad = " " * depth
    if isinstance(value, dict) and value and not _is_short(value, depth + len(key)):
        return [f"{pad}{key}:", *block(value, depth + 2)]
    if isinstance(value, list) and value and not _is_short(value, depth + len(key)):
        return [f"{pad}{key}:", *(line for item in value for line in _item(item, depth + 2))]
    if isinstance(value, str) and "\n" in value.strip("\n") and _is_literal(value):
        return [f"{pad}{key}: |", *_literal(value, depth + 2)]
    return [f"{pad}{key}: {flow(value)}"]


def _item(item: Any, depth: int) -> list[str]:
    pad = " " * depth
    if isinstance(item, dict) and item and not _is_short(item, depth):
        first, *further = block(item, depth + 2)
        while first.lstrip().startswith("#"):  # a comment stands above its item
            return [f"{pad}{first.lstrip()}", *_item_after(further, depth)]
        return [f"{pad}- {first.lstrip()}", *further]
    if isinstance(item, str) and "\n" in item.strip("\n") and _is_literal(item):
        return [f"{pad}- |", *_literal(item, depth + 2)]
    return [f"{pad}- {flow(item)}"]


def _item_after(lines: list[str], depth: int) -> list[str]:
    """The lines of a list item that begins with comments."""
    pad = " " * depth
    for at, line in enumerate(lines):
        if not line.lstrip().startswith("#"):
            return [*(f"{pad}{above.lstrip()}" for above in lines[:at]), f"{pad}- {line.lstrip()}", *lines[at + 1 :]]
    return lines


def _literal(text: str, depth: int) -> list[str]:
    return [f"{' ' * depth}{line}" if line else "" for line in text.removesuffix("\n").split("\n")]


def _is_literal(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    printable = all(line.isprintable() and not line.endswith(" ") for line in lines)
    return text.endswith("\n") and not text.endswith("\n\n") and printable and not lines[0].startswith(" ")


def _is_short(value: Any, before: int) -> bool:
    return not _has_block(value) and len(flow(value)) + before < _WIDTH


def _has_block(value: Any) -> bool:
    """Whether a value must be a block: it has a comment or several lines."""
    if isinstance(value, Commented):
        return True
    if isinstance(value, dict):
        return any(map(_has_block, value.values()))
    if isinstance(value, list):
        return any(map(_has_block, value))
    return isinstance(value, str) and "\n" in value


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A scalar: a text without quotes if YAML reads it as the same text, else as in JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    if "'" not in text and "\\" in text and text.isprintable():
        return f"'{text}'"
    written = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in written)


def comment(texts: Iterable[str], depth: int) -> list[str]:
    """Lines of comments, wrapped."""
    pad = " " * depth
    return [
        f"{pad}# {line}"
        for text in texts
        for line in textwrap.wrap(_printable(text), _WIDTH - depth, break_long_words=False, break_on_hyphens=False)
    ]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
