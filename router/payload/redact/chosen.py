"""Which values of a payload are replaced, and the bytes that stand for them."""

from collections.abc import Iterable, Sequence
from typing import Any

from router.domain.items import PlaceKey

MARK = "[redacted]"  #: stands in the place of a value

Chosen = dict[PlaceKey, "Chosen"] | None
"""By key, what is chosen below it. None: the value itself is chosen."""

Place = Sequence[PlaceKey]
"""The keys that lead from the payload to a value."""

Span = tuple[int, int, bytes]
"""Where bytes are replaced: start, end, and the replacement."""


def chosen_of(places: Iterable[Place]) -> Chosen:
    """The values at these places. An empty place is the whole payload."""
    top: dict[PlaceKey, Chosen] = {}
    for place in places:
        if not place:
            return None
        level: Chosen = top
        for key in place[:-1]:
            if level is not None:
                level = level.setdefault(key, {})
        if level is not None:
            level[place[-1]] = None
    return top


def replaced(data: bytes, spans: Iterable[Span]) -> bytes:
    """The bytes with these spans replaced. Of two spans, one within the other, the outer one counts."""
    pieces: list[bytes] = []
    end = 0
    for start, stop, by in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= end:
            pieces += (data[end:start], by)
            end = stop
    return b"".join([*pieces, data[end:]])


def is_replaced(payload: Any, chosen: Chosen) -> bool:
    """Whether every chosen value of the payload is replaced. In XML, items of a list and namespaces count
    separately."""
    if chosen is None:
        if isinstance(payload, list):
            return all(is_replaced(one, None) for one in payload)
        return payload == MARK or (isinstance(payload, dict) and payload.get("#text") == MARK)
    if isinstance(payload, dict | list):
        return all(is_replaced(_at(payload, key), below) for key, below in chosen.items())
    return payload == MARK or not chosen


def _at(payload: Any, key: PlaceKey) -> Any:
    try:
        return payload[key]
    except LookupError:
        return None
