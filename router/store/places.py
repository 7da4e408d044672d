"""What the queries of both stores share: parts of a text, and places between which an index is walked."""

from typing import Any

Part = tuple[str, tuple[Any, ...]]
"""A part of a query's text, and its values."""

Bounds = tuple[Part, Part]
"""The lowest and the highest seq."""

NEVER = 2**62  #: above every seq
LATER_MS = 7_200_000  #: that the time in an id may be later than that of its row, after the clock was set back


def one_place(function: str, places: list[Part]) -> Part:
    """One place of several: an index is walked between two places, and others would be compared row by row."""
    if len(places) == 1:
        return places[0]
    return f"{function}({', '.join(text for text, _ in places)})", tuple(v for _, values in places for v in values)


def at_place(name: str, comparison: str, place: Part) -> Part:
    """The condition that compares the seq of `name`'s row with a place."""
    return f"{name}.seq {comparison} {place[0]}", place[1]


def first_id(at: int) -> str:
    """The smallest UUIDv7 of a time (ms)."""
    text = f"{max(0, at):012x}"
    return f"{text[:8]}-{text[8:12]}"
