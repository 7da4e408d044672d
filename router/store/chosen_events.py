"""What both stores' searches share: what a filter asks of an event's deliveries, and the end of each search."""

from collections.abc import Callable, Iterable
from typing import Any

from router.domain.deliveries import State
from router.domain.events import UNMATCHED
from router.domain.filters import EventFilter
from router.store.places import Part
from router.store.search_back import FoundBack, search_back

Read = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
Row = tuple[Any, ...]

Chosen = tuple[State | None, str | None]
"""The events with a delivery in this state by this rule. Without a state: or that the rule matched without any."""


def chosen(which: EventFilter) -> list[Chosen]:
    """What the rule and the states ask; one of these must hold. Empty: they ask nothing."""
    if which.states:
        return [(state, which.rule) for state in which.states]
    return [] if which.rule is None else [(None, which.rule)]


def groups(which: EventFilter) -> list[list[Chosen]]:
    """The same, with `unmatched`: one of each group must hold."""
    unmatched: list[Chosen] = [(None, UNMATCHED)] if which.unmatched else []
    return [group for group in (chosen(which), unmatched) if group]


def found_back(
    between: Callable[[int, int, int], list[Row]], limit: int, after: int, places: tuple[int, int], *, is_few: bool
) -> FoundBack[Row]:
    """The rows between two places: all at once where few have to be looked at, else in steps."""
    lowest, highest = places
    if is_few:
        return FoundBack(between(limit, min(after or highest + 1, highest + 1), lowest - 1))
    return search_back(between, limit, after, highest, lowest)


def are_few(read: Read, few: int, places: Iterable[Part]) -> bool:
    """Whether fewer rows than `few` are in these places, each a table and a condition that one index holds."""
    found = 0
    for text, values in places:
        counted = f"SELECT count(*) FROM (SELECT 1 FROM {text} LIMIT {few - found}) AS found"  # noqa: S608 - constants
        found += int(read(counted, values)[0][0])
        if found >= few:
            return False
    return True


def joined(parts: Iterable[Part], word: str) -> Part:
    """Conditions or queries, with a word between them."""
    given = list(parts)
    return f" {word} ".join(text for text, _ in given), tuple(value for _, values in given for value in values)
