"""Names in any script: the library's lexer knows only ASCII letters, so other names are put in quotes."""

import re
import unicodedata

QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`""")

_TOKEN = re.compile(rf"""{QUOTED.pattern}|[^\s.\[\](),:'"`$?=<>!&|*+/\\~]+""")
_OPERAND = re.compile(r"[=<>~]\s*$")  #: comes before a value that a filter compares with


def quote_names(text: str) -> str:
    """The path, with quotes around bare names that have letters beyond ASCII: `$.größe` becomes `$.'größe'`.

    The name itself stays as written; no other Unicode form (NFC, NFD) is tried.
    """
    if text.isascii():
        return text
    return _TOKEN.sub(_quoted, text)


def _quoted(found: re.Match[str]) -> str:
    name = found.group()
    before = found.string[: found.start()]
    # A bare word as the right side of a comparison is refused, as in ASCII; and `$größe` lacks a dot.
    if name[0] in "'\"`" or name.isascii() or not _is_name(name) or before.endswith("$") or _OPERAND.search(before):
        return name
    return f"'{name}'"


def _is_name(text: str) -> bool:
    first = text[1:2] if text[0] == "@" else text[0]
    return (first.isalpha() or first == "_") and all(map(_is_name_character, text))


def _is_name_character(character: str) -> bool:
    """A letter or digit of any script, a mark such as an accent, or a character of ASCII names."""
    return character.isalnum() or character in "_-@" or unicodedata.category(character)[0] == "M"
