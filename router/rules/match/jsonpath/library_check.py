"""Checks whether jsonpath-ng parses a path to the expected tree.

Paths are compiled from the classes and fields of the library's tree, which it does not document. So a path of each kind
is followed both by our steps and by the library's own `find`, and refused paths are tried. If a result differs, only
paths of plain names are accepted. `find` is no fallback, since its work has no limit.
"""

import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

from jsonpath_ng.ext import parse  # type: ignore[attr-defined]  # the documented import

from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.limits import Work
from router.rules.match.jsonpath.steps import Walk, run, steps
from router.rules.match.jsonpath.vet import vet

_PAYLOAD = {
    "list": [{"b": 1, "c": "x"}, {"b": 2, "d": {"e": 3}}, {"b": 3, "c": "y"}, 4],
    "numbers": [3, 1, 2],
    "words": "one-two-three",
    "g": {"x": 5, "y": 6},
}
_FOLLOWED = (
    "$['words']",
    "$.g['x','y']",
    "$.g.*",
    "$.list[*].c",
    "$.list[-1]",
    "$.list[0,2].b",
    "$.numbers[::2]",
    "$.numbers[1:]",
    "$..b",
    "$..*",
    "$.list[1].d.`parent`.b",
    "$.numbers.`len`",
    "$.g.`keys`",
    "$.numbers.`sorted`",
    "$.words.`split(-, 1, -1)`",
    "$.list[?(@.c)].b",
    "$.list[?(@.b > 1 && @.c == 'y' || @.d.e == 3)].b",
    "$.list[?(@.b != $.numbers[1])].b",
)
_REFUSED = ("$.words.`sub(/o/, x)`", "$.list[?(@.c =~ 'x')]", "$.list[*].`this`.b + 1", "$.g where x", "$.g['x','x']")


@cache
def is_as_expected() -> bool:
    """Whether the installed library is as expected. Tried once, which takes some 10 ms."""
    return agrees(parse)


def agrees(library: Callable[[str], Any]) -> bool:
    """Whether this parser gives the expected trees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return all(_follows(library(path), path) for path in _FOLLOWED) and all(
                _refuses(library(path), path) for path in _REFUSED
            )
        except Exception:  # noqa: BLE001 - whatever another version of the library does
            return False


def unknown_library() -> PathError:
    """The error of a path that needs the library's tree."""
    return PathError(
        f"jsonpath-ng {version('jsonpath-ng')} parses paths differently than expected, so only names such as"
        " $.a.b are accepted; install version 1.16"
    )


def _follows(tree: Any, path: str) -> bool:
    vet(tree, path)
    found = run(steps(tree), [_PAYLOAD], Walk(_PAYLOAD, Work(_PAYLOAD)))
    return bool(found) and found == [match.value for match in tree.find(_PAYLOAD)]


def _refuses(tree: Any, path: str) -> bool:
    try:
        vet(tree, path)
    except PathError:
        return True
    return False
