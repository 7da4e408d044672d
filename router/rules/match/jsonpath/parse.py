"""Parses a path into jsonpath-ng's syntax tree, or explains the error and its cure."""

import re
import warnings
from typing import Any

from jsonpath_ng import jsonpath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext import parse as library_parse  # type: ignore[attr-defined]  # the documented import

from router.domain.work_budget import PATHS, spend
from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.library_check import is_as_expected, unknown_library
from router.rules.match.jsonpath.names import quote_names
from router.rules.match.jsonpath.negation import parse_negations

MAX_LENGTH = 4096  #: characters; real paths are shorter than 200


def parse(text: str) -> Any:
    """The tree of a path. Raises PathError."""
    if len(text) > MAX_LENGTH:
        raise PathError(f"the path is longer than {MAX_LENGTH} characters")
    plain = _plain(text)
    if plain is not None:
        return plain
    if not is_as_expected():
        raise unknown_library()
    if not spend("paths"):
        raise PathError(f"the file has more than {PATHS:,} different JSONPaths with more than names; split the file")
    try:
        return _parse(quote_names(text))
    except DeprecationWarning as error:
        raise PathError(f"not a supported JSONPath: {str(error).rstrip('.')}") from None
    except _REFUSED as error:
        raise PathError(f"not a JSONPath: {_hint(text, error)}") from None


def _plain(text: str) -> Any:
    """The tree of a path such as `$.a.b`; None for others. The library is slower: it builds a parser each time."""
    names = text.split(".")[1:] if _PLAIN.fullmatch(text) else []
    if not names or _RESERVED.intersection(names):
        return None
    tree: Any = jsonpath.Root()
    for name in names:
        tree = jsonpath.Child(tree, jsonpath.Fields(name))
    return tree


_PLAIN = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_RESERVED = frozenset({"where", "wherenot"})  #: names that the library reads as operators
_REFUSED = (JSONPathError, RecursionError, ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What the library raises for a text that is not a path."""


def _parse(text: str) -> Any:
    try:
        return _library_parse(text)
    except _REFUSED:
        # Only after the library has failed: what it accepts keeps its meaning.
        tree = parse_negations(text, _parse)
        if tree is None:
            raise
        return tree


def _library_parse(text: str) -> Any:
    with warnings.catch_warnings():
        # Deprecated syntax (`|`, bare words in filters) may change its meaning, so it is refused now.
        warnings.simplefilter("error", DeprecationWarning)
        return library_parse(text)


#: The part of the library's messages that says what is wrong. The rest counts lines and columns of its own.
_LIBRARY = re.compile(r"Unexpected character: (.)|near token (\S+)")
_NAMES = "a name with other characters than letters, digits, _ and - goes into ['…']"
_HINTS = (
    (re.compile(r"\[\s*\("), "for the last item write [-1], for a filter [?(…)]"),
    (re.compile(r"\[\s*\?"), "a filter is [?(@.name == 'x')], with == != < <= > >=, && || ! and (…)"),
    (re.compile(r"\.(length|size|count)\("), "for the number of items ask the list itself: {length: 3}"),
    (re.compile(r"\w\("), "there are no functions with brackets; `len` and `keys` stand in backticks"),
    (re.compile(r"\.\.\."), "two dots stand for any depth"),
    (re.compile(r"\[[^\]]*:[^\]]*,|\[[^\]]*,[^\]]*:"), "write one slice, or several indices"),
    (re.compile(r"\[\s*-?\d[^\]]*,\s*['\"]|\[\s*['\"][^\]]*,\s*-?\d"), "write several names, or several indices"),
    (re.compile(r"`"), "the functions are `len`, `keys`, `sorted`, `parent` and `split(…)`"),
)


def _hint(text: str, error: Exception) -> str:
    for word in ("where", "wherenot"):
        if f".{word}" in text:
            return f"`{word}` is a reserved word; write ['{word}'] for a field of that name"
    if text.startswith("$") and len(text) > 1 and (text[1].isalnum() or text[1] == "_"):
        return f"a dot is missing after the $: $.{text[1:]}"
    if text.endswith("."):
        return "it ends with a dot"
    found = _LIBRARY.search(str(error))
    shown = f'unexpected "{found[1] or found[2]}"' if found else str(error).rstrip(" !.") or type(error).__name__
    return f"{shown}; {next((hint for pattern, hint in _HINTS if pattern.search(text)), _NAMES)}"
