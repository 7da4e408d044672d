"""Items: elements of a list in the payload, each known by its place, such as `$.alerts[3]`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PlaceKey = str | int
"""The name of a mapping's value, or the index of a list's item."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]+)\]|\['((?:[^'\\]|\\.)*)'\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """One element of the payload, for a rule with `for_each`."""

    place: str
    index: int  #: its number among the items that `for_each` selects, from 0
    value: Any


def place_of(keys: Iterable[PlaceKey]) -> str:
    """The place at which these keys lead to, one after the other."""
    return "$" + "".join(map(written, keys))


def written(key: PlaceKey) -> str:
    """A key as places have it: `[3]`, `.name`, `['a b']`."""
    if isinstance(key, int):
        return f"[{key}]"
    if _PLAIN.fullmatch(key):
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


def value_at(payload: Any, place: str) -> Any:
    """The value at a place. Raises LookupError if the payload has none there."""
    value, at = payload, 1
    while at < len(place):
        found = _KEY.match(place, at)
        if found is None:
            raise LookupError(place)
        name, index, quoted = found.groups()
        key: Any = int(index) if index is not None else name if name is not None else _unescaped(quoted)
        if not isinstance(value, list if index is not None else dict):
            raise LookupError(place)
        value = value[key]
        at = found.end()
    return value


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
